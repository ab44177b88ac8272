package filter

import "golang.org/x/net/bpf"

// relation makes the condition that two values stand in a relation: first that the headers are
// there of which they are, then the comparison.
func (c *coder) relation(n relation) (cond, error) {
	l, lNumber := n.l.(number)
	r, rNumber := n.r.(number)
	if lNumber && rNumber {
		is := n.op == '=' && l.v == r.v || n.op == '>' && l.v > r.v || n.op == 'g' && l.v >= r.v
		return constant(is != n.opposite), nil
	}
	var need cond = constant(true)
	for _, v := range []value{n.l, n.r} {
		x, err := c.need(v)
		if err != nil {
			return nil, err
		}
		need = and(need, x)
	}
	e := evaluation{coder: c}
	var x cond
	switch {
	case rNumber:
		e.eval(n.l, 0)
		if last := len(e.load) - 1; n.op == '=' && r.v == 0 && e.load[last].Op == opAnd {
			x = not(&test{load: e.load[:last], jump: opJumpBits, k: e.load[last].K, err: e.late})
			break
		}
		x = e.test(map[byte]uint16{'=': opJumpEqual, '>': opJumpGreater, 'g': opJumpAtLeast}[n.op], r.v)
	case lNumber:
		e.eval(n.r, 0)
		switch n.op {
		case '=':
			x = e.test(opJumpEqual, l.v)
		case '>': // k > x: not x >= k
			x = not(e.test(opJumpAtLeast, l.v))
		case 'g': // k >= x: not x > k
			x = not(e.test(opJumpGreater, l.v))
		}
	default:
		e.eval(n.r, 0)
		e.emit(opStore, 0)
		e.eval(n.l, 1)
		e.emit(opLoadMemX, 0)
		x = e.test(map[byte]uint16{'=': opJumpEqual, '>': opJumpGreater, 'g': opJumpAtLeast}[n.op]|fromX, 0)
	}
	if n.opposite {
		x = not(x)
	}
	return and(need, x), e.err
}

// need makes the condition that a packet has the headers of which a value is.
func (c *coder) need(v value) (cond, error) {
	switch v := v.(type) {
	case negative:
		return c.need(v.x)
	case arithmetic:
		l, err := c.need(v.l)
		if err != nil {
			return nil, err
		}
		r, err := c.need(v.r)
		return and(l, r), err
	case field:
		index, err := c.need(v.index)
		if err != nil {
			return nil, err
		}
		own, err := c.needField(v)
		return and(index, own), err
	}
	return constant(true), nil
}

// needField makes the condition that a packet has the header of a field. Fields behind IP are
// those of IPv4 alone, but for icmp6, as in tcpdump: IPv6 has no one place for them.
func (c *coder) needField(f field) (cond, error) {
	switch f.of {
	case "link":
		return constant(true), nil
	case "ether":
		if !c.ethernet {
			return nil, c.errorf(f.at(), "%s has no Ethernet header; link[…] counts from the start of the packet", c.here())
		}
		return constant(true), nil
	case "ppp":
		if c.names != pppTypes || c.labels > 0 {
			return nil, c.errorf(f.at(), "there is no PPP header on %s", c.here())
		}
		return constant(true), nil
	}
	t, ok := transports[f.of]
	switch {
	case !ok:
		return c.encapsulation(f.at(), f.of)
	case f.of == "icmp6":
		return and(c.encapsulated(0x86dd), c.equal(1, c.payload+6, t.number)), nil
	}
	return and(c.encapsulated(0x0800), c.equal(1, c.payload+9, t.number), c.first()), nil
}

// evaluation makes the instructions that compute a value.
type evaluation struct {
	*coder
	load []bpf.RawInstruction
	late error // a load that is not possible: an error if the program needs it
	err  error
}

// test compares what has been computed into A.
func (e *evaluation) test(jump uint16, k uint32) cond {
	return &test{load: e.load, jump: jump, k: k, err: e.late}
}

func (e *evaluation) emit(op uint16, k uint32) {
	e.load = append(e.load, bpf.RawInstruction{Op: op, K: k})
}

// operations are the instructions of operators.
var operations = map[byte]uint16{
	'|': opOr, '^': opXor, '&': opAnd, '<': opShiftLeft, '>': opShiftRight,
	'+': opAdd, '-': opSub, '*': opMul, '/': opDiv, '%': opMod,
}

// eval computes a value into A. It may change X, and M from the word mem on.
func (e *evaluation) eval(v value, mem uint32) {
	switch v := v.(type) {
	case number:
		e.emit(opLoadConst, v.v)
	case length:
		e.emit(opLoadLen, 0)
		if e.tagged {
			e.emit(opAdd, 4)
		}
	case negative:
		e.eval(v.x, mem)
		e.emit(opNegate, 0)
	case arithmetic:
		if k, ok := v.r.(number); ok {
			e.eval(v.l, mem)
			e.emit(operations[v.op], k.v)
			return
		}
		if mem == memWords {
			e.err = e.errorf(v.at(), "too many brackets: more than %d values are in use at once", memWords)
			return
		}
		e.eval(v.r, mem)
		e.emit(opStore, mem)
		e.eval(v.l, mem+1)
		e.emit(opLoadMemX, mem)
		e.emit(operations[v.op]|fromX, 0)
	case field:
		e.field(v, mem)
	}
}

// field computes bytes of a header into A.
func (e *evaluation) field(f field, mem uint32) {
	t, above := transports[f.of] // above IP
	base := e.payload
	switch {
	case f.of == "link" || f.of == "ether":
		base = 0
	case f.of == "ppp":
		base = e.header
	case f.of == "icmp6":
		base += 40
	}
	indexed := above && t.in4 // behind an IPv4 header
	if n, ok := f.index.(number); ok {
		if indexed {
			e.length()
		}
		e.bytes(f, base+n.v, indexed)
		return
	}
	e.eval(f.index, mem)
	if indexed {
		e.length()
		e.emit(opAdd|fromX, 0)
	}
	e.emit(opAToX, 0)
	e.bytes(f, base, true)
}

// length loads the length of the IPv4 header into X.
func (e *evaluation) length() {
	l, err := e.coder.load(1, e.payload, false)
	if err != nil {
		e.late = err
	}
	e.emit(opLoadHeaderX, l.K)
}

// bytes loads a field's bytes at an offset into A.
func (e *evaluation) bytes(f field, at uint32, indexed bool) {
	l, err := e.coder.load(f.size, at, indexed)
	if err != nil {
		err.(*Error).Offset = f.at()
		e.late = err
	}
	e.load = append(e.load, l)
}
