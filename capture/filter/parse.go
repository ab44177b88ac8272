package filter

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// Bounds on what an expression may ask of the parser: a filter of 4,096 instructions needs neither.
const (
	maxText  = 64 << 10 // bytes
	maxDepth = 100      // brackets, "not" and "-" inside each other
)

// qualifiers are what stands before a name or number and says what it is. They hold for the names
// after it as well: "port 80 or 443".
type qualifiers struct {
	proto string    // "" when none was given
	dir   direction // either when none was given
	what  string    // "host", "net", "port", "portrange", "proto"; "" when there are no qualifiers at all
}

// part is what a piece of an expression turned out to be: a node or, while it is open whether it is
// compared or is a name such as the 443 of "port 80 or (443)", a value.
type part struct {
	node  node
	value value
	bare  *token     // the token of a value that is a number alone
	q     qualifiers // what holds for it when it is a name
}

// parser is a recursive descent over the tokens. It gives up by panicking with an *Error, which
// parse returns.
type parser struct {
	text   string
	tokens []token // what is left
	depth  int
}

func parse(text string) (root node, err error) {
	p := &parser{text: text}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *Error:
			root, err = nil, e
		default:
			panic(e)
		}
	}()
	if len(text) > maxText {
		p.fail(maxText, "the expression has more than %d bytes", maxText)
	}
	if p.tokens, err = lex(text); err != nil {
		return nil, err
	}
	if p.peek().kind == end {
		return nil, nil
	}
	root = p.node(p.chain(qualifiers{}, false))
	if t := p.peek(); t.kind != end {
		p.unexpected(t)
	}
	return root, nil
}

func (p *parser) fail(at int, format string, args ...any) {
	panic(&Error{p.text, at, fmt.Sprintf(format, args...)})
}

// unexpected fails at a token that cannot stand where it stands.
func (p *parser) unexpected(t token) {
	if t.kind == word {
		if why := refusal(t.text); why != "" {
			p.fail(t.at, "%s", why)
		}
		if !keyword(t.text) {
			p.unknown(t)
		}
	}
	if t.kind == end {
		p.fail(t.at, "something is missing at the end")
	}
	p.fail(t.at, "unexpected %v", t)
}

// unknown fails at a word that means nothing.
func (p *parser) unknown(t token) {
	if first, _, ok := strings.Cut(t.text, "-"); ok && (first == "len" || first == "length" || span(first, isDigit) == len(first)) {
		p.fail(t.at, "unknown word %v: a minus needs blanks around it", t)
	}
	if lower := strings.ToLower(t.text); keyword(lower) {
		p.fail(t.at, "unknown word %v: say %s", t, lower)
	}
	p.fail(t.at, "unknown word %v", t)
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept takes the next token if it is one of these.
func (p *parser) accept(texts ...string) (token, bool) {
	for _, text := range texts {
		if p.peek().is(text) {
			return p.next(), true
		}
	}
	return token{}, false
}

func (p *parser) expect(text string) {
	if _, ok := p.accept(text); !ok {
		p.fail(p.peek().at, "%q is missing before %v", text, p.peek())
	}
}

// nest counts how deep the parser is; the function that it returns goes up again.
func (p *parser) nest() func() {
	if p.depth++; p.depth > maxDepth {
		p.fail(p.peek().at, "more than %d brackets inside each other", maxDepth)
	}
	return func() { p.depth-- }
}

// chain reads terms joined by "and" and "or", which bind alike, from left to right. Names without
// qualifiers take those of the term before them; q holds for the first. With names, only names and
// numbers may stand here: "port (80 or 443)".
func (p *parser) chain(q qualifiers, names bool) part {
	left := p.term(q, names)
	for {
		t, ok := p.accept("and", "or")
		if !ok {
			return left
		}
		l := p.node(left)
		right := p.term(left.q, names)
		left = part{node: logic{place(t.at), t.text == "or", l, p.node(right)}, q: right.q}
	}
}

// node makes a node of a part: a number alone is a name.
func (p *parser) node(x part) node {
	switch {
	case x.node != nil:
		return x.node
	case x.bare == nil:
		p.fail(x.value.at(), "a value is no test: compare it, as in tcp[tcpflags] & tcp-syn != 0")
	case x.q.what == "":
		p.fail(x.value.at(), "what is %v? Say host, net, port, proto … before it", *x.bare)
	}
	return p.named(x.q, *x.bare)
}

// term reads one term: a name, a bracket, a test or the inverse of one.
func (p *parser) term(q qualifiers, names bool) part {
	t := p.peek()
	switch {
	case t.is("not"):
		defer p.nest()()
		p.next()
		x := p.term(q, names)
		return part{node: inverse{place(t.at), p.node(x)}, q: x.q}
	case t.is("("):
		defer p.nest()()
		p.next()
		x := p.chain(q, names)
		p.expect(")")
		if x.value != nil && !names {
			return p.compare(x)
		}
		// What stood in the bracket says nothing of names behind it.
		return part{node: p.node(x), q: q}
	case t.kind == digits && names:
		p.next()
		return part{node: p.named(q, t), q: q}
	case p.atValue() && !names:
		return p.compare(p.start(q))
	case t.kind == quoted || t.kind == dotted || t.kind == colons || t.kind == mac || t.kind == word && !keyword(t.text) && refusal(t.text) == "":
		if q.what == "" {
			if t.kind == word {
				p.unknown(t)
			}
			p.fail(t.at, "what is %v? Say host, net, port, proto … before it", t)
		}
		p.next()
		return part{node: p.named(q, t), q: q}
	case names || t.kind != word:
		p.unexpected(t)
	}
	return p.primitive()
}

// primitive reads what starts with a keyword.
func (p *parser) primitive() part {
	t := p.next()
	at := place(t.at)
	switch t.text {
	case "src", "dst", "host", "net", "port", "portrange", "proto":
		return p.qualified("", t)
	case "broadcast", "multicast":
		return part{node: cast{at, "ether", t.text == "multicast"}}
	case "less", "greater":
		n := p.number("a length")
		if t.text == "less" { // or equal: not greater
			return part{node: relation{at, '>', true, length{at}, n}}
		}
		return part{node: relation{at, 'g', false, length{at}, n}}
	case "vlan", "mpls", "pppoes":
		limit := map[string]uint32{"vlan": 0xfff, "mpls": 0xfffff, "pppoes": 0xffff}[t.text]
		if p.peek().kind != digits {
			return part{node: tag{at, t.text, 0, true}}
		}
		n := p.number("")
		if n.v > limit {
			p.fail(n.at(), "%s %d: at most %d", t.text, n.v, limit)
		}
		return part{node: tag{at, t.text, n.v, false}}
	case "pppoed":
		return part{node: numbered{at, "ether", 0x8863}}
	case "inbound", "outbound":
		return part{node: route{at, t.text == "outbound"}}
	case "ifindex":
		return part{node: arrived{at, p.number("a number").v}}
	case "llc":
		if next := p.peek(); next.kind == word {
			if _, ok := llcTypes[next.text]; ok {
				p.next()
				return part{node: llcFrame{at, next.text}}
			}
		}
		return part{node: llcFrame{at, ""}}
	}
	if isProtocol(t.text) {
		return p.qualified(t.text, t)
	}
	p.unexpected(t)
	return part{}
}

// qualified reads what follows a protocol's name, or the first other qualifier, which is t.
func (p *parser) qualified(proto string, t token) part {
	at := place(t.at)
	first := t // of the qualifiers
	q := qualifiers{proto: proto}
	if proto != "" {
		next := p.peek()
		switch {
		case next.is("broadcast"), next.is("multicast"):
			p.next()
			return p.cast(proto, t, next)
		case next.is("src"), next.is("dst"), next.is("host"), next.is("net"), next.is("port"), next.is("portrange"), next.is("proto"):
			t = p.next()
		case next.is("protochain"), next.is("gateway"):
			p.unexpected(next)
		case proto == "ether" || proto == "link" || proto == "ppp":
			p.fail(first.at, "%s alone is no test: host, src, dst, proto, broadcast or multicast may follow", proto)
		default:
			return part{node: protocol{at, proto}}
		}
	}
	if t.text == "src" || t.text == "dst" {
		q.dir = source
		if t.text == "dst" {
			q.dir = destination
		}
		other := map[string]string{"src": "dst", "dst": "src"}[t.text]
		if len(p.tokens) > 1 && p.tokens[1].is(other) {
			if _, ok := p.accept("or"); ok {
				q.dir = either
				p.next()
			} else if _, ok := p.accept("and"); ok {
				q.dir = both
				p.next()
			}
		}
		t = token{}
		if next, ok := p.accept("host", "net", "port", "portrange"); ok {
			t = next
		} else if next := p.peek(); next.is("proto") {
			p.fail(next.at, "a protocol has no direction")
		}
	}
	q.what = t.text
	if q.what == "" {
		q.what = "host"
	}
	if q.proto == "link" || q.proto == "ppp" {
		q.proto = "ether"
	}
	p.check(q, first)
	return p.name(q)
}

// name reads what the qualifiers before it are for: a name, "not" one, or several in a bracket.
func (p *parser) name(q qualifiers) part {
	t := p.peek()
	if t.kind == symbol && t.text != "(" && t.text != "not" || t.kind == end {
		p.fail(t.at, "%s: something is missing before %v", q.what, t)
	}
	if t.kind == word && keyword(t.text) && !t.is("not") {
		if q.what == "proto" {
			p.fail(t.at, "%v is a keyword: say proto \\%s", t, t.text)
		}
		p.fail(t.at, "%s: something is missing before %v", q.what, t)
	}
	x := p.term(q, true)
	return part{node: p.node(x), q: q}
}

// check refuses qualifiers that do not go together.
func (p *parser) check(q qualifiers, first token) {
	ok := false
	switch q.what {
	case "host":
		ok = q.proto == "" || q.proto == "ip" || q.proto == "ip6" || q.proto == "arp" || q.proto == "rarp" || q.proto == "ether"
	case "net":
		ok = q.proto == "" || q.proto == "ip" || q.proto == "ip6" || q.proto == "arp" || q.proto == "rarp"
	case "port", "portrange":
		ok = q.proto == "" || q.proto == "tcp" || q.proto == "udp" || q.proto == "sctp"
	case "proto":
		ok = q.proto == "" || q.proto == "ether" || q.proto == "ip" || q.proto == "ip6" || q.proto == "iso"
	}
	if !ok {
		hint := ""
		_, transport := transports[q.proto]
		address := q.what == "host" || q.what == "net"
		if transport && address || (q.proto == "ip" || q.proto == "ip6") && !address {
			hint = fmt.Sprintf(": say %s and %s …", first.text, q.what)
		}
		p.fail(first.at, "%s does not go with %s%s", first.text, q.what, hint)
	}
}

// cast makes a node of "proto broadcast" or "proto multicast".
func (p *parser) cast(proto string, t, what token) part {
	c := cast{place(t.at), proto, what.text == "multicast"}
	switch {
	case proto == "ether" || proto == "link":
		c.of = "ether"
	case proto == "ip" && !c.multi:
		p.fail(t.at, "ip broadcast needs the interface's netmask, which captures do not have; say: dst host ADDRESS")
	case proto == "ip6" && !c.multi:
		p.fail(t.at, "IPv6 has no broadcast")
	case proto != "ip" && proto != "ip6":
		p.fail(t.at, "%s does not go with %s", proto, what.text)
	}
	return part{node: c}
}

// named makes a node of a name or number with its qualifiers.
func (p *parser) named(q qualifiers, t token) node {
	switch q.what {
	case "host", "net":
		return p.address(q, t)
	case "port":
		n := p.port(t, t.text, t.kind == digits, t.v)
		return p.ports(q, t, n.port, n.port, n.only)
	case "portrange":
		return p.portRange(q, t)
	}
	return p.protoNumber(q, t)
}

// address makes a node of an address, with the mask that follows it.
func (p *parser) address(q qualifiers, t token) node {
	at := place(t.at)
	if q.proto == "ether" {
		if t.kind != mac {
			p.fail(t.at, "%v is no Ethernet address: want 00:11:22:33:44:55", t)
		}
		return hardware{at, q.dir, parseMAC(t.text)}
	}
	switch t.kind {
	case colons:
		return p.address6(q, t)
	case mac:
		p.fail(t.at, "%v is an Ethernet address: say ether host", t)
	case digits, dotted:
	case quoted, word:
		p.fail(t.at, "%v is no address: names are not looked up", t)
	}
	if q.proto == "ip6" {
		p.fail(t.at, "%v is no IPv6 address", t)
	}
	if t.kind == digits && t.v == 0 {
		p.fail(t.at, "net 0: write the network out, 0.0.0.0/8 or 0.0.0.0/0")
	}
	if q.what == "host" && (t.kind == digits || strings.Count(t.text, ".") != 3) {
		p.fail(t.at, "host %s: want a whole address; for a network say net %[1]s", t.text)
	}
	addr, parts := p.dotted(t)
	mask := ^uint32(0)
	if parts < 4 {
		mask <<= uint32(8 * (4 - parts))
	}
	text := t.text
	if q.what == "host" {
		if next := p.peek(); next.is("/") || next.is("mask") {
			p.fail(next.at, "a host has no mask: say net")
		}
	} else if t.kind == digits && p.peek().is("/") {
		p.fail(t.at, "net %s/…: write the number with dots, %[1]s.0.0.0/8", t.text)
	} else if _, ok := p.accept("/"); ok {
		text += "/" + p.peek().text
		n := p.number("a length of prefix")
		if n.v > 32 {
			p.fail(n.at(), "a prefix of IPv4 has at most 32 bits")
		}
		mask = ^uint32(0) << (32 - n.v)
	} else if _, ok := p.accept("mask"); ok {
		m := p.next()
		if m.kind != dotted || strings.Count(m.text, ".") != 3 {
			p.fail(m.at, "want a mask such as 255.255.255.0")
		}
		mask, _ = p.dotted(m)
		text = t.text + " mask " + m.text
	}
	if addr&^mask != 0 {
		p.fail(t.at, "%s: there are bits outside the mask; the network is %v", text, netip.AddrFrom4(bytes4(addr&mask)))
	}
	return address4{at, q.dir, q.proto, addr, mask}
}

func (p *parser) address6(q qualifiers, t token) node {
	a, err := netip.ParseAddr(t.text)
	if err != nil {
		p.fail(t.at, "%v is no IPv6 address", t)
	}
	if q.proto != "" && q.proto != "ip6" {
		p.fail(t.at, "%s has no IPv6 addresses", q.proto)
	}
	n := address6{place: place(t.at), dir: q.dir}
	length := uint32(128)
	if next := p.peek(); next.is("mask") {
		p.fail(next.at, "IPv6 networks have a length of prefix, not a mask")
	} else if next.is("/") {
		if q.what == "host" {
			p.fail(next.at, "a host has no mask: say net")
		}
		p.next()
		l := p.number("a length of prefix")
		if length = l.v; length > 128 {
			p.fail(l.at(), "a prefix of IPv6 has at most 128 bits")
		}
	}
	b := a.As16()
	for i := range n.addr {
		n.addr[i] = binary.BigEndian.Uint32(b[4*i:])
		n.mask[i] = ^uint32(0) << (32 - min(max(length, uint32(32*i))-uint32(32*i), 32))
		if n.addr[i]&^n.mask[i] != 0 {
			p.fail(t.at, "%s/%d: there are bits outside the mask; the network is %v", t.text, length, netip.PrefixFrom(a, int(length)).Masked().Addr())
		}
	}
	return n
}

// dotted returns the value of one to four numbers between dots, as the first bytes of an address.
func (p *parser) dotted(t token) (addr uint32, parts int) {
	for _, text := range strings.Split(t.text, ".") {
		n := uint32(0)
		if t.kind == digits {
			n = t.v
		} else {
			for _, c := range []byte(text) {
				n = min(n*10+uint32(c-'0'), 256)
			}
		}
		if n > 255 {
			p.fail(t.at, "%v is no IPv4 address", t)
		}
		addr = addr<<8 | n
		parts++
	}
	return addr << uint32(8*(4-parts)), parts
}

func bytes4(a uint32) (b [4]byte) {
	binary.BigEndian.PutUint32(b[:], a)
	return b
}

// parseMAC reads what macLen has found to be an Ethernet address.
func parseMAC(text string) (addr [6]byte) {
	groups := strings.FieldsFunc(text, func(r rune) bool { return r == ':' || r == '.' || r == '-' })
	size := 6 / len(groups) // bytes in a group
	for i, g := range groups {
		v, err := strconv.ParseUint(g, 16, 64)
		if err != nil {
			panic(err) // macLen takes hexadecimal digits alone
		}
		for j := range size {
			addr[i*size+j] = byte(v >> (8 * (size - 1 - j)))
		}
	}
	return addr
}

// port returns the port of a name or number.
func (p *parser) port(t token, text string, isNumber bool, v uint32) portName {
	if isNumber {
		if v > 65535 {
			p.fail(t.at, "port %d: at most 65535", v)
		}
		return portName{port: v}
	}
	n, ok := portNames[text]
	if t.kind == dotted || t.kind == colons || t.kind == mac || !ok {
		if strings.Trim(text, "0123456789-") == "" {
			p.fail(t.at, "%v is no port: for a range say portrange", t)
		}
		p.fail(t.at, "unknown port %q: the built-in names are few, use its number", text)
	}
	return n
}

// portRange makes a node of "80-90", "80" or "ftp-telnet".
func (p *parser) portRange(q qualifiers, t token) node {
	if t.kind == digits {
		n := p.port(t, "", true, t.v)
		return p.ports(q, t, n.port, n.port, "")
	}
	if strings.Count(t.text, "-") > 1 {
		p.fail(t.at, "%v is no range of ports: want 6000-6008; names with a dash do not go here", t)
	}
	bound := func(text string) portName {
		if span(text, isDigit) < len(text) {
			return p.port(t, text, false, 0)
		}
		tokens, err := lex(text)
		if err != nil || len(tokens) != 2 {
			p.fail(t.at, "%v is no range of ports: want 6000-6008", t)
		}
		return p.port(t, "", true, tokens[0].v)
	}
	first, last, ok := strings.Cut(t.text, "-")
	lo := bound(first)
	hi := lo
	if ok {
		hi = bound(last)
	}
	only := ""
	if lo.only == hi.only {
		only = lo.only
	}
	return p.ports(q, t, min(lo.port, hi.port), max(lo.port, hi.port), only)
}

// ports makes a node of a range of ports of which the names belong to one protocol or ("") to all.
func (p *parser) ports(q qualifiers, t token, lo, hi uint32, only string) node {
	proto := q.proto
	if proto == "" {
		proto = only
	} else if only != "" && only != proto {
		p.fail(t.at, "port %s is one of %s", t.text, only)
	}
	// In tcpdump's order, which matters where a packet ends before a port.
	protos := []uint32{132, 6, 17}
	if proto != "" {
		protos = []uint32{transports[proto].number}
	}
	return ports{place(t.at), q.dir, protos, lo, hi}
}

// protoNumber makes a node of "proto n".
func (p *parser) protoNumber(q qualifiers, t token) node {
	at := place(t.at)
	limit := uint32(255)
	if q.proto == "ether" {
		limit = 65535
	}
	if t.kind == digits {
		if t.v > limit {
			p.fail(t.at, "proto %d: at most %d", t.v, limit)
		}
		if q.proto == "ether" && t.v > 255 && t.v <= maxLength {
			p.fail(t.at, "proto %d is neither an EtherType (from %d) nor a service access point (to 255)", t.v, maxLength+1)
		}
		if name := numbersWithNames[t.v]; q.proto == "ether" && name != "" {
			return protocol{at, name}
		}
		return numbered{at, q.proto, t.v}
	}
	if t.kind == word || t.kind == quoted {
		switch q.proto {
		case "ether":
			if _, ok := encapsulations[t.text]; ok {
				return protocol{at, t.text}
			}
		case "iso":
			if n, ok := isoProtocols[t.text]; ok {
				return numbered{at, q.proto, n}
			}
		default:
			if n, ok := protocolNumbers[t.text]; ok {
				return numbered{at, q.proto, n}
			}
		}
	}
	p.fail(t.at, "unknown protocol %v: use its number", t)
	return nil
}

// number reads a number that must stand here.
func (p *parser) number(what string) number {
	t := p.next()
	if t.kind != digits {
		p.fail(t.at, "want %s before %v", what, t)
	}
	return number{place(t.at), t.v}
}

// keyword reports whether a word has a meaning of its own.
func keyword(w string) bool {
	switch w {
	case "and", "or", "not", "src", "dst", "host", "net", "mask", "port", "portrange", "proto", "less", "greater",
		"broadcast", "multicast", "len", "length", "inbound", "outbound", "ifindex", "vlan", "mpls", "pppoed",
		"pppoes", "llc":
		return true
	}
	if _, ok := constants[w]; ok {
		return true
	}
	return isProtocol(w)
}

// isProtocol reports whether a word is a protocol's name.
func isProtocol(w string) bool {
	if w == "ether" || w == "link" || w == "ppp" {
		return true
	}
	if _, ok := transports[w]; ok {
		return true
	}
	if _, ok := isoProtocols[w]; ok {
		return true
	}
	if _, ok := isisTypes[w]; ok {
		return true
	}
	_, ok := encapsulations[w]
	return ok && w != "loopback"
}

// Arithmetic.

// atValue reports whether a value begins here: a number, a name of one, len, a minus, or a field.
func (p *parser) atValue() bool {
	t := p.peek()
	switch {
	case t.kind == digits, t.is("-"), t.is("len"), t.is("length"):
		return true
	case t.kind != word:
		return false
	}
	if _, ok := constants[t.text]; ok {
		return true
	}
	return isProtocol(t.text) && p.tokens[1].is("[")
}

// start reads a value that may turn out to be a name.
func (p *parser) start(q qualifiers) part {
	t := p.peek()
	v := p.operand()
	x := part{value: v, q: q}
	if t.kind == digits {
		x.bare = &t
	}
	return x
}

// compare reads what follows a value: operators, and a relation to another value. Without a
// relation it remains a value.
func (p *parser) compare(x part) part {
	before := len(p.tokens)
	v, _ := p.operators(x.value, 0, 1)
	t, ok := p.accept("=", ">", ">=", "<", "<=", "!=")
	if !ok {
		x.value = v
		if len(p.tokens) != before {
			x.bare = nil
		}
		return x
	}
	right, _ := p.operators(p.operand(), 0, 1)
	op := map[string]struct {
		op       byte
		opposite bool
	}{"=": {'=', false}, "!=": {'=', true}, ">": {'>', false}, "<=": {'>', true}, ">=": {'g', false}, "<": {'g', true}}[t.text]
	return part{node: relation{place(t.at), op.op, op.opposite, v, right}}
}

// binding is how strongly operators bind, as in C.
var binding = map[string]int{"|": 1, "^": 2, "&": 3, "<<": 4, ">>": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6}

// operators reads the operators that follow a value and bind at least as strongly as least. Top is
// the operator that made the value, without brackets around it: "%" and "^" beside another one are
// refused, since tcpdump groups them otherwise than C does.
func (p *parser) operators(v value, top byte, least int) (value, byte) {
	for {
		t := p.peek()
		b := binding[t.text]
		if t.kind != symbol || b < least {
			return v, top
		}
		p.next()
		right, rightTop := p.operators(p.operand(), 0, b+1)
		op := t.text[0]
		for _, other := range []byte{top, rightTop} {
			if other != 0 && (op == '%' || other == '%' || (op == '^') != (other == '^')) {
				p.fail(t.at, "put brackets around this: %% and ^ beside other operators are not grouped alike everywhere")
			}
		}
		v, top = p.fold(arithmetic{place(t.at), op, v, right}), op
	}
}

// operand reads a value without operators.
func (p *parser) operand() value {
	defer p.nest()()
	t := p.next()
	at := place(t.at)
	switch {
	case t.kind == digits:
		return number{at, t.v}
	case t.is("-"):
		x := p.operand()
		if n, ok := x.(number); ok {
			return number{at, -n.v}
		}
		return negative{at, x}
	case t.is("("):
		v, _ := p.operators(p.operand(), 0, 1)
		p.expect(")")
		return v
	case t.is("len"), t.is("length"):
		return length{at}
	case t.kind == word && isProtocol(t.text) && p.peek().is("["):
		return p.field(t)
	case t.kind == word:
		if n, ok := constants[t.text]; ok {
			return number{at, n}
		}
	}
	if t.kind == word && !keyword(t.text) {
		p.unknown(t)
	}
	p.fail(t.at, "want a value before %v", t)
	return nil
}

// field reads "[index:size]" behind a protocol.
func (p *parser) field(t token) value {
	if tr, ok := transports[t.text]; ok && !tr.fields {
		p.fail(t.at, "%s[…] is not supported", t.text)
	}
	switch t.text {
	case "aarp", "iso", "stp", "ipx", "netbeui":
		p.fail(t.at, "%s[…] is not supported", t.text)
	}
	if _, ok := isoProtocols[t.text]; ok || isisTypes[t.text] != nil {
		p.fail(t.at, "%s[…] is not supported", t.text)
	}
	f := field{place: place(t.at), of: t.text, size: 1}
	p.expect("[")
	at := p.peek().at
	f.index, _ = p.operators(p.operand(), 0, 1)
	if n, ok := f.index.(number); ok && n.v > 65535 {
		p.fail(at, "an offset of 0 to 65535 is wanted here")
	}
	if _, ok := p.accept(":"); ok {
		n := p.number("a size of 1, 2 or 4")
		if f.size = n.v; bits.OnesCount32(n.v) != 1 || n.v > 4 {
			p.fail(n.at(), "a size of 1, 2 or 4 is wanted here")
		}
	}
	p.expect("]")
	return f
}

// fold computes what is known already.
func (p *parser) fold(a arithmetic) value {
	r, constant := a.r.(number)
	shift := a.op == '<' || a.op == '>'
	switch {
	case shift && !constant:
		p.fail(a.at(), "shifts are by a number only: processors differ in what more than 31 bits mean")
	case shift && r.v > 31:
		p.fail(r.at(), "a shift by more than 31 bits")
	case constant && r.v == 0 && (a.op == '/' || a.op == '%'):
		p.fail(r.at(), "division by zero")
	}
	l, ok := a.l.(number)
	if !ok || !constant {
		return a
	}
	v := l.v
	switch a.op {
	case '|':
		v |= r.v
	case '^':
		v ^= r.v
	case '&':
		v &= r.v
	case '<':
		v <<= r.v
	case '>':
		v >>= r.v
	case '+':
		v += r.v
	case '-':
		v -= r.v
	case '*':
		v *= r.v
	case '/':
		v /= r.v
	case '%':
		v %= r.v
	}
	return number{l.place, v}
}
