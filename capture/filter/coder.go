package filter

import (
	"fmt"
	"strconv"

	"golang.org/x/net/bpf"

	"github.com/weirnet/weir/packet"
)

// maxLength is the largest value of an Ethernet type field that is a length, with an IEEE 802.2
// header behind it: what tcpdump takes for it.
const maxLength = 1500

// space is the set of numbers by which a header says what is behind it.
type space uint8

const (
	etherTypes space = iota // EtherTypes; up to maxLength it is a length
	sllTypes                // EtherTypes; 1 and 4 stand for Novell's frames and IEEE 802.2
	hdlcTypes               // EtherTypes alone
	pppTypes                // RFC 1661 section 2
	ipVersions              // nothing but the version of an IP header
	families                // address families of BSD
	onlyIP4                 // nothing: it is IPv4
	onlyIP6
)

// linkNames are how messages call the link types that have filters.
var linkNames = map[packet.LinkType]string{
	packet.LinkEthernet: "Ethernet", packet.LinkNull: "BSD loopback (NULL)", packet.LinkLoop: "OpenBSD loopback (LOOP)",
	packet.LinkRaw: "raw IP", packet.LinkRawBSD: "raw IP", packet.LinkRawOpenBSD: "raw IP",
	packet.LinkIPv4: "raw IPv4", packet.LinkIPv6: "raw IPv6",
	packet.LinkSLL: "Linux cooked capture (SLL)", packet.LinkSLL2: "Linux cooked capture (SLL2)",
	packet.LinkPPP: "PPP", packet.LinkPPPHDLC: "PPP", packet.LinkPPPD: "PPP (pppd)", packet.LinkPPPoE: "PPPoE",
	packet.LinkCiscoHDLC: "Cisco HDLC",
}

// LinkName is how messages call a link type.
func LinkName(link packet.LinkType) string {
	if name := linkNames[link]; name != "" {
		return name
	}
	return strconv.FormatUint(uint64(link), 10)
}

// coder makes conditions of nodes, from left to right: vlan, mpls and pppoes move what it knows of
// the packet for all that follows them in the text, also behind "or" and out of brackets, as
// tcpdump has it.
type coder struct {
	text string
	link packet.LinkType
	// tagged: packets lie in a kernel that has taken out the VLAN tag at bytes 12 to 15. Offsets below
	// count as if it were there; load says where the bytes are.
	tagged bool

	ethernet bool   // the packet begins with an Ethernet header, and nothing hides it
	header   uint32 // where link[0] is
	names    space
	typeAt   uint32 // offset of the number that says what is behind the link header
	payload  uint32 // offset of what is behind the link header
	labels   int    // MPLS labels passed
}

func newCoder(text string, link packet.LinkType, tagged bool) (*coder, error) {
	c := &coder{text: text, link: link, tagged: tagged}
	switch link {
	case packet.LinkEthernet:
		c.ethernet, c.names, c.typeAt, c.payload = true, etherTypes, 12, 14
	case packet.LinkSLL:
		c.names, c.typeAt, c.payload = sllTypes, 14, 16
	case packet.LinkSLL2:
		c.names, c.typeAt, c.payload = hdlcTypes, 0, 20
	case packet.LinkCiscoHDLC:
		c.names, c.typeAt, c.payload = hdlcTypes, 2, 4
	case packet.LinkPPP, packet.LinkPPPHDLC, packet.LinkPPPD:
		c.names, c.typeAt, c.payload = pppTypes, 2, 4
	case packet.LinkPPPoE:
		c.names, c.typeAt, c.payload = pppTypes, 6, 8
	case packet.LinkRaw, packet.LinkRawBSD, packet.LinkRawOpenBSD:
		c.names = ipVersions
	case packet.LinkNull, packet.LinkLoop:
		c.names, c.payload = families, 4
	case packet.LinkIPv4:
		c.names = onlyIP4
	case packet.LinkIPv6:
		c.names = onlyIP6
	default:
		return nil, c.errorf(0, "there are no filters for link type %d", link)
	}
	return c, nil
}

func (c *coder) errorf(at int, format string, args ...any) error {
	return &Error{c.text, at, fmt.Sprintf(format, args...)}
}

// node makes the condition of a node.
func (c *coder) node(n node) (cond, error) {
	switch n := n.(type) {
	case logic:
		l, err := c.node(n.l)
		if err != nil {
			return nil, err
		}
		r, err := c.node(n.r)
		if err != nil {
			return nil, err
		}
		if n.or {
			return or(l, r), nil
		}
		return and(l, r), nil
	case inverse:
		x, err := c.node(n.x)
		return not(x), err
	case relation:
		return c.relation(n)
	case protocol:
		return c.protocol(n)
	case numbered:
		return c.numbered(n)
	case address4:
		return c.address4(n)
	case address6:
		return c.address6(n)
	case hardware:
		return c.hardware(n)
	case ports:
		return c.ports(n)
	case cast:
		return c.cast(n)
	case tag:
		return c.tag(n)
	case llcFrame:
		return c.llcFrame(n)
	case route:
		return c.route(n)
	case arrived:
		if c.link != packet.LinkSLL2 {
			return nil, c.errorf(n.at(), "%s does not tell the interface", linkNames[c.link])
		}
		return c.equal(4, 4, n.index), nil
	}
	panic(fmt.Sprintf("filter: node %T", n))
}

// Loads and tests.

// load returns the instruction that loads bytes into A, from X + at if indexed. With a VLAN tag in
// the metadata some bytes cannot be loaded; then there is an error instead.
func (c *coder) load(size, at uint32, indexed bool) (bpf.RawInstruction, error) {
	op := map[uint32]uint16{1: opLoadByte, 2: opLoadHalf, 4: opLoadWord}[size]
	if indexed {
		op += opLoadWordX - opLoadWord
	}
	switch {
	case !c.tagged || !indexed && at+size <= 12:
	case at >= 16:
		at -= 4
	case at == 12 && size == 2 && !indexed:
		return bpf.RawInstruction{Op: opLoadWord, K: metaTagType}, nil
	case at == 14 && size == 2 && !indexed:
		return bpf.RawInstruction{Op: opLoadWord, K: metaTag}, nil
	default:
		return bpf.RawInstruction{}, c.errorf(0, "this reads across the place of the VLAN tag, which a kernel keeps elsewhere: only ether[12:2] and ether[14:2] are possible live")
	}
	return bpf.RawInstruction{Op: op, K: at}, nil
}

// compare makes the test that bytes under a mask stand in a relation to k.
func (c *coder) compare(size, at, mask uint32, jump uint16, k uint32) cond {
	l, err := c.load(size, at, false)
	if err != nil {
		return &test{err: err}
	}
	return masked([]bpf.RawInstruction{l}, size, mask, jump, k)
}

func masked(load []bpf.RawInstruction, size, mask uint32, jump uint16, k uint32) cond {
	if all := uint32(1<<(8*size) - 1); mask&all != all {
		load = append(load, bpf.RawInstruction{Op: opAnd, K: mask})
	}
	return &test{load: load, jump: jump, k: k}
}

func (c *coder) equal(size, at, k uint32) cond {
	return c.compare(size, at, ^uint32(0), opJumpEqual, k)
}

// behindIP makes a test of bytes behind an IPv4 header, whose length is its own word.
func (c *coder) behindIP(size, at uint32, jump uint16, k uint32) cond {
	length, err := c.load(1, c.payload, false)
	if err != nil {
		return &test{err: err}
	}
	l, err := c.load(size, c.payload+at, true)
	if err != nil {
		return &test{err: err}
	}
	return &test{load: []bpf.RawInstruction{{Op: opLoadHeaderX, K: length.K}, l}, jump: jump, k: k}
}

// Link layer.

// encapsulated is true when the link header says that an EtherType's protocol is behind it.
func (c *coder) encapsulated(etherType uint32) cond {
	version := map[uint32]uint32{0x0800: 4, 0x86dd: 6}[etherType]
	if c.labels > 0 {
		// Nothing names what a label stack carries; IP is told by its version, behind the last label.
		return and(c.compare(1, c.payload-2, 1, opJumpEqual, 1), c.compare(1, c.payload, 0xf0, opJumpEqual, version<<4))
	}
	switch c.names {
	case ipVersions:
		if version == 0 {
			return constant(false)
		}
		return c.compare(1, c.payload, 0xf0, opJumpEqual, version<<4)
	case onlyIP4:
		return constant(version == 4)
	case onlyIP6:
		return constant(version == 6)
	case families:
		return c.family(version)
	case pppTypes:
		etherType = pppNumber(etherType)
	case etherTypes:
		if c.tagged && c.typeAt == 12 && etherType != 0x8100 && etherType != 0x88a8 {
			return constant(false) // kernels take out no other tags
		}
	}
	return c.equal(2, c.typeAt, etherType)
}

// pppNumber returns PPP's number (https://www.iana.org/assignments/ppp-numbers) for an EtherType or an
// IEEE 802.2 service access point that it has another one for; all other numbers are PPP's already.
func pppNumber(n uint32) uint32 {
	switch n {
	case 0x0800:
		return 0x0021
	case 0x86dd:
		return 0x0057
	case 0x6003: // DECnet
		return 0x0027
	case 0x809b: // AppleTalk
		return 0x0029
	case 0x8137, 0xe0: // IPX
		return 0x002b
	case 0xfe: // OSI
		return 0x0023
	case 0x42: // bridges
		return 0x0031
	}
	return n
}

// family is true when the address family of a loopback header is that of an IP version. A host's
// byte order shows in the value; files do not tell it to a filter, so both count. The families of
// IPv6 are those of NetBSD and OpenBSD, FreeBSD, Darwin, which tcpdump knows, Linux and Windows.
func (c *coder) family(version uint32) cond {
	var any cond = constant(false)
	for _, f := range map[uint32][]uint32{4: {2}, 6: {30, 24, 28, 10, 23}}[version] {
		any = or(any, c.equal(4, 0, f), c.equal(4, 0, f<<24))
	}
	return any
}

// isLLC is true when an IEEE 802.2 header follows the link header.
func (c *coder) isLLC() cond {
	switch {
	case c.names == sllTypes:
		return c.equal(2, c.typeAt, 4)
	case c.tagged && c.typeAt == 12:
		return constant(false)
	}
	return not(c.compare(2, c.typeAt, ^uint32(0), opJumpGreater, maxLength))
}

// snap is true when the IEEE 802.2 header is SNAP (RFC 1042) with an organisation and a type. Its
// second half is looked at first, as tcpdump does.
func (c *coder) snap(organisation, etherType uint32) cond {
	return and(c.equal(4, c.payload+4, organisation<<16|etherType), c.equal(4, c.payload, 0xaaaa0300|organisation>>16))
}

// protocol makes the condition of a protocol's name.
func (c *coder) protocol(n protocol) (cond, error) {
	if t, ok := transports[n.name]; ok {
		return c.transport(t.number, t.in4, t.in6), nil
	}
	if id, ok := isoProtocols[n.name]; ok {
		x, _, err := c.iso(n.at(), n.name)
		if err != nil {
			return nil, err
		}
		return x(id), nil
	}
	if types, ok := isisTypes[n.name]; ok {
		if c.link == packet.LinkCiscoHDLC {
			return nil, c.errorf(n.at(), "%s cannot be told on %s", n.name, linkNames[c.link])
		}
		x, at, err := c.iso(n.at(), n.name)
		if err != nil {
			return nil, err
		}
		var any cond = constant(false)
		for _, pdu := range types {
			any = or(any, and(x(isoProtocols["isis"]), c.equal(1, at+4, pdu)))
		}
		return any, nil
	}
	return c.encapsulation(n.at(), n.name)
}

// encapsulation makes the condition of the name of a protocol that the link layer carries.
func (c *coder) encapsulation(at int, name string) (cond, error) {
	etherType := encapsulations[name]
	if name == "ip" || name == "ip6" {
		return c.encapsulated(etherType), nil
	}
	if c.labels > 0 {
		return nil, c.errorf(at, "behind MPLS labels only ip and ip6 can be told")
	}
	switch c.names {
	case ipVersions, families, onlyIP4, onlyIP6:
		return constant(false), nil
	case pppTypes:
		switch name {
		case "iso":
			etherType = 0xfe
		case "stp":
			etherType = 0x42
		case "netbeui":
			return nil, c.errorf(at, "netbeui cannot be told on PPP")
		}
		return c.encapsulated(etherType), nil
	case hdlcTypes:
		switch {
		case name == "iso" && c.link == packet.LinkCiscoHDLC:
			return c.equal(2, c.typeAt, 0xfefe), nil
		case etherType == 0, name == "ipx":
			return nil, c.errorf(at, "%s cannot be told on %s", name, linkNames[c.link])
		}
		return c.encapsulated(etherType), nil
	}
	typed := c.encapsulated(etherType)
	switch name {
	case "iso":
		return and(c.isLLC(), c.equal(2, c.payload, 0xfefe)), nil
	case "netbeui":
		return and(c.isLLC(), c.equal(2, c.payload, 0xf0f0)), nil
	case "stp":
		return and(c.isLLC(), c.equal(1, c.payload, 0x42)), nil
	case "atalk":
		return or(typed, and(c.isLLC(), c.snap(0x080007, etherType))), nil
	case "aarp":
		return or(typed, and(c.isLLC(), c.snap(0, etherType))), nil
	case "ipx":
		if c.names == sllTypes {
			return or(typed, c.equal(2, c.typeAt, 1), and(c.isLLC(), or(c.equal(1, c.payload, 0xe0), c.snap(0, etherType)))), nil
		}
		return or(typed, and(c.isLLC(), or(c.snap(0, etherType), c.equal(1, c.payload, 0xe0), c.equal(2, c.payload, 0xffff)))), nil
	}
	return typed, nil
}

// numbered makes the condition of "proto n".
func (c *coder) numbered(n numbered) (cond, error) {
	switch n.of {
	case "ip":
		return c.transport(n.n, true, false), nil
	case "ip6":
		return c.transport(n.n, false, true), nil
	case "":
		return c.transport(n.n, true, true), nil
	case "iso":
		x, _, err := c.iso(n.at(), "iso")
		if err != nil {
			return nil, err
		}
		return x(n.n), nil
	}
	ip := n.n == 0x0800 || n.n == 0x86dd
	switch {
	case ip:
		return c.encapsulated(n.n), nil
	case c.labels > 0:
		return nil, c.errorf(n.at(), "behind MPLS labels only ip and ip6 can be told")
	case c.names == ipVersions || c.names == families || c.names == onlyIP4 || c.names == onlyIP6:
		return constant(false), nil
	case n.n <= maxLength && c.link == packet.LinkSLL2:
		return nil, c.errorf(n.at(), "IEEE 802.2 service access points cannot be told on %s", linkNames[c.link])
	case n.n <= maxLength && c.names != hdlcTypes && c.names != pppTypes:
		return and(c.isLLC(), c.equal(1, c.payload, n.n)), nil
	}
	return c.encapsulated(n.n), nil
}

// iso returns a condition on the network layer protocol identifier of ISO, and its offset.
func (c *coder) iso(at int, name string) (func(id uint32) cond, uint32, error) {
	var id uint32
	switch {
	case c.names == etherTypes:
		id = c.payload + 3
	case c.names == pppTypes:
		id = c.payload
	case c.link == packet.LinkCiscoHDLC:
		id = c.payload + 1
	case c.names == sllTypes || c.names == hdlcTypes:
		return nil, 0, c.errorf(at, "%s cannot be told on %s", name, linkNames[c.link])
	}
	is, err := c.encapsulation(at, "iso")
	return func(k uint32) cond { return and(is, c.equal(1, id, k)) }, id, err
}

// hardware makes the condition of an Ethernet address, whose end is looked at first, as in tcpdump.
func (c *coder) hardware(n hardware) (cond, error) {
	if !c.ethernet {
		return nil, c.errorf(n.at(), "%s has no Ethernet addresses", c.here())
	}
	a := n.addr
	is := func(at uint32) cond {
		return and(c.equal(4, at+2, uint32(a[2])<<24|uint32(a[3])<<16|uint32(a[4])<<8|uint32(a[5])), c.equal(2, at, uint32(a[0])<<8|uint32(a[1])))
	}
	return directed(n.dir, func() cond { return is(6) }, func() cond { return is(0) }), nil
}

// directed joins the conditions on source and destination that a direction asks for.
func directed(d direction, src, dst func() cond) cond {
	switch d {
	case source:
		return src()
	case destination:
		return dst()
	case both:
		return and(src(), dst())
	}
	return or(src(), dst())
}

// here is how messages call what the packet is at this place of the expression.
func (c *coder) here() string {
	if c.link == packet.LinkEthernet && !c.ethernet {
		return "PPPoE"
	}
	return linkNames[c.link]
}

// cast makes the condition of "broadcast" and "multicast".
func (c *coder) cast(n cast) (cond, error) {
	switch n.of {
	case "ip":
		return and(c.encapsulated(0x0800), c.compare(1, c.payload+16, ^uint32(0), opJumpAtLeast, 224)), nil
	case "ip6":
		return and(c.encapsulated(0x86dd), c.equal(1, c.payload+24, 0xff)), nil
	}
	switch {
	case !c.ethernet:
		return nil, c.errorf(n.at(), "%s has no Ethernet addresses; say ip multicast or ip6 multicast", c.here())
	case n.multi:
		return c.compare(1, 0, ^uint32(0), opJumpBits, 1), nil
	}
	return and(c.equal(4, 2, 0xffffffff), c.equal(2, 0, 0xffff)), nil
}

// tag makes the condition of "vlan", "mpls" and "pppoes", and passes the header.
func (c *coder) tag(n tag) (cond, error) {
	is := constant(true) // true of the number
	switch n.kind {
	case "vlan":
		if c.names != etherTypes || c.labels > 0 || !c.ethernet {
			return nil, c.errorf(n.at(), "there is no vlan behind %s", c.behind())
		}
		x := or(c.encapsulated(0x8100), c.encapsulated(0x88a8), c.encapsulated(0x9100))
		var id cond = is
		if !n.any {
			id = c.compare(2, c.payload, 0xfff, opJumpEqual, n.id)
		}
		c.typeAt, c.payload = c.payload+2, c.payload+4
		return and(x, id), nil
	case "mpls":
		var x cond
		switch {
		case c.labels > 0: // another label, unless the one before is the last
			x = c.compare(1, c.payload-2, 1, opJumpEqual, 0)
		case c.names == pppTypes:
			x = c.equal(2, c.typeAt, 0x0281)
		case c.names == etherTypes, c.link == packet.LinkCiscoHDLC:
			x = c.encapsulated(0x8847)
		default:
			return nil, c.errorf(n.at(), "there is no mpls on %s", linkNames[c.link])
		}
		var label cond = is
		if !n.any {
			label = c.compare(4, c.payload, 0xfffff000, opJumpEqual, n.id<<12)
		}
		c.payload += 4
		c.labels++
		return and(x, label), nil
	}
	if c.labels > 0 || c.names == pppTypes {
		return nil, c.errorf(n.at(), "there is no pppoes behind %s", c.behind())
	}
	x := c.encapsulated(0x8864)
	var session cond = is
	if !n.any {
		session = c.equal(2, c.payload+2, n.id)
	}
	c.ethernet = false
	c.names = pppTypes
	c.header = c.payload + 6
	c.typeAt, c.payload = c.payload+6, c.payload+8
	return and(x, session), nil
}

// behind is how messages call what tags cannot be behind.
func (c *coder) behind() string {
	if c.labels > 0 {
		return "mpls"
	}
	return c.here()
}

// llcFrame makes the condition of "llc". A frame that begins with ffff is one of Novell's, without
// the header.
func (c *coder) llcFrame(n llcFrame) (cond, error) {
	if c.names != etherTypes || c.labels > 0 {
		return nil, c.errorf(n.at(), "there is no llc behind %s", c.behind())
	}
	x := and(c.isLLC(), not(c.equal(2, c.payload, 0xffff)))
	if n.kind == "" {
		return x, nil
	}
	t := llcTypes[n.kind]
	return and(x, c.compare(1, c.payload+2, t.mask, opJumpEqual, t.value)), nil
}

// route makes the condition of "inbound" and "outbound".
func (c *coder) route(n route) (cond, error) {
	var out cond
	switch c.link {
	case packet.LinkSLL:
		out = c.equal(2, 0, 4)
	case packet.LinkSLL2:
		out = c.equal(1, 10, 4)
	case packet.LinkPPPD:
		// The byte is 0 or 1; what is neither is neither.
		if !n.out {
			return c.equal(1, 0, 0), nil
		}
		return c.equal(1, 0, 1), nil
	default:
		return nil, c.errorf(n.at(), "%s does not tell the direction", linkNames[c.link])
	}
	if n.out {
		return out, nil
	}
	return not(out), nil
}

// Network and transport layers.

// transport is true of packets of IPv4 or IPv6 with a protocol number. IPv6 is looked at as far as
// one fragment header: no other extension headers are passed.
func (c *coder) transport(number uint32, in4, in6 bool) cond {
	var x cond = constant(false)
	if in4 {
		x = or(x, and(c.encapsulated(0x0800), c.equal(1, c.payload+9, number)))
	}
	if in6 {
		next := func(k uint32) cond { return c.equal(1, c.payload+6, k) }
		x = or(x, and(c.encapsulated(0x86dd), or(next(number), and(next(44), c.equal(1, c.payload+40, number)))))
	}
	return x
}

// address4 makes the condition of an address of IPv4 in IP and ARP packets.
func (c *coder) address4(n address4) (cond, error) {
	in := func(etherType, src, dst uint32) cond {
		at := func(offset uint32) func() cond {
			return func() cond {
				x := c.encapsulated(etherType)
				if n.mask == 0 {
					return x
				}
				return and(x, c.compare(4, c.payload+offset, n.mask, opJumpEqual, n.addr))
			}
		}
		return directed(n.dir, at(src), at(dst))
	}
	ip := func() cond { return in(encapsulations["ip"], 12, 16) }
	arp := func(name string) cond { return in(encapsulations[name], 14, 24) }
	switch n.of {
	case "ip":
		return ip(), nil
	case "":
		if c.labels > 0 {
			return ip(), nil
		}
		return or(ip(), arp("arp"), arp("rarp")), nil
	}
	if c.labels > 0 {
		return nil, c.errorf(n.at(), "behind MPLS labels only ip and ip6 can be told")
	}
	return arp(n.of), nil
}

// address6 makes the condition of an address of IPv6.
func (c *coder) address6(n address6) (cond, error) {
	at := func(offset uint32) func() cond {
		return func() cond {
			x := c.encapsulated(0x86dd)
			for i := range n.addr {
				if n.mask[i] != 0 {
					x = and(x, c.compare(4, c.payload+offset+4*uint32(i), n.mask[i], opJumpEqual, n.addr[i]))
				}
			}
			return x
		}
	}
	return directed(n.dir, at(8), at(24)), nil
}

// ports makes the condition of a range of ports. IPv6 goes first; its extension headers are not
// passed. Later fragments of IPv4 have no ports.
func (c *coder) ports(n ports) (cond, error) {
	is := func(at uint32) cond {
		var x cond = constant(false)
		for _, proto := range n.protos {
			x = or(x, c.equal(1, c.payload+at, proto))
		}
		return x
	}
	in := func(compare func(at uint32, jump uint16, k uint32) cond) cond {
		port := func(at uint32) func() cond {
			return func() cond {
				if n.lo == n.hi {
					return compare(at, opJumpEqual, n.lo)
				}
				return and(compare(at, opJumpAtLeast, n.lo), not(compare(at, opJumpGreater, n.hi)))
			}
		}
		return directed(n.dir, port(0), port(2))
	}
	in6 := in(func(at uint32, jump uint16, k uint32) cond {
		return c.compare(2, c.payload+40+at, ^uint32(0), jump, k)
	})
	in4 := in(func(at uint32, jump uint16, k uint32) cond { return c.behindIP(2, at, jump, k) })
	return or(
		and(c.encapsulated(0x86dd), is(6), in6),
		and(c.encapsulated(0x0800), is(9), c.first(), in4),
	), nil
}

// first is true of an IPv4 packet that is no later fragment.
func (c *coder) first() cond {
	return not(c.compare(2, c.payload+6, ^uint32(0), opJumpBits, 0x1fff))
}
