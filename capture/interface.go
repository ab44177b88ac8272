package capture

import (
	"net"
	"net/netip"

	"github.com/weirnet/weir/packet"
)

// Interface is a network interface of this machine.
type Interface struct {
	Name      string
	Up        bool            // switched on
	Running   bool            // and with a carrier
	Loopback  bool            //
	Link      packet.LinkType // of the packets captured there
	MTU       int             // bytes
	Addresses []netip.Prefix
	// Offloads are what is switched on of gro, lro, tso and gso: they merge packets before they are captured, so that
	// captured sizes and counts differ from those on the wire. Linux alone tells.
	Offloads []string
}

// Interfaces lists the interfaces of this machine in the order of their indices.
func Interfaces() ([]Interface, error) {
	found, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	all := make([]Interface, len(found))
	for k := range found {
		f := &found[k]
		i := Interface{
			Name: f.Name, MTU: f.MTU, Link: packet.LinkEthernet,
			Up: f.Flags&net.FlagUp != 0, Running: f.Flags&net.FlagRunning != 0, Loopback: f.Flags&net.FlagLoopback != 0,
		}
		addrs, err := f.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				i.Addresses = append(i.Addresses, p)
			}
		}
		i.look(f)
		all[k] = i
	}
	return all, nil
}
