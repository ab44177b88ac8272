package filter

// A node is a part of an expression that is true or false of a packet. What it holds has been
// checked as far as that goes without the link type; at is its offset in the expression.
type node interface{ at() int }

type place int

func (p place) at() int { return int(p) }

type (
	// logic is "l and r" or "l or r".
	logic struct {
		place
		or   bool
		l, r node
	}
	// inverse is "not x".
	inverse struct {
		place
		x node
	}
	// relation is "l op r" of two values, or its opposite; op is '=', '>' or 'g' (at least). Either
	// way it is only true of packets that have both values.
	relation struct {
		place
		op       byte
		opposite bool
		l, r     value
	}
	// protocol is a protocol's name alone.
	protocol struct {
		place
		name string
	}
	// numbered is "proto n" of a link layer, of IP, IPv6 or both, or of ISO.
	numbered struct {
		place
		of string // "ether", "ip", "ip6", "" (IPv4 or IPv6), "iso"
		n  uint32
	}
	// address4 is a host or a network of IPv4; of is "ip", "arp", "rarp" or "" (all three).
	address4 struct {
		place
		dir        direction
		of         string
		addr, mask uint32
	}
	// address6 is a host or a network of IPv6.
	address6 struct {
		place
		dir        direction
		addr, mask [4]uint32
	}
	// hardware is an Ethernet address.
	hardware struct {
		place
		dir  direction
		addr [6]byte
	}
	// ports is a range of ports of some transport protocols.
	ports struct {
		place
		dir    direction
		protos []uint32
		lo, hi uint32
	}
	// cast is "broadcast" or "multicast" of the link, or "multicast" of "ip" or "ip6".
	cast struct {
		place
		of    string // "ether", "ip", "ip6"
		multi bool
	}
	// tag is "vlan", "mpls" or "pppoes", with a number or without.
	tag struct {
		place
		kind string
		id   uint32
		any  bool
	}
	// llcFrame is "llc" with a type or, when it is "", without.
	llcFrame struct {
		place
		kind string
	}
	// route is "inbound" or "outbound".
	route struct {
		place
		out bool
	}
	// arrived is "ifindex n".
	arrived struct {
		place
		index uint32
	}
)

// direction says which of two addresses or ports is meant.
type direction uint8

const (
	either direction = iota // src or dst
	source
	destination
	both // src and dst
)

// A value is a number that a packet has.
type value interface{ at() int }

type (
	number struct {
		place
		v uint32
	}
	// length is "len", the length of the packet on the wire.
	length struct{ place }
	// field is "proto[index:size]".
	field struct {
		place
		of    string
		index value
		size  uint32
	}
	negative struct {
		place
		x value
	}
	// arithmetic is "l op r"; op is the character, '<' and '>' are shifts.
	arithmetic struct {
		place
		op   byte
		l, r value
	}
)
