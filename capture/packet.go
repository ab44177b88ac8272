package capture

import "github.com/weirnet/weir/packet"

// Packet is one captured frame. Data and Comment stay valid until the next call of Read on the
// source that gave it.
type Packet struct {
	Nanos   int64           // capture time in nanoseconds since the Unix epoch
	Data    []byte          // captured bytes from the link header on
	WireLen int             // bytes on the wire, at least len(Data)
	Link    packet.LinkType // what Data starts with
	Comment []byte          // first opt_comment of the pcapng block, nil without one
}
