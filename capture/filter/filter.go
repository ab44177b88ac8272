// Package filter compiles tcpdump's filter language, pcap-filter(7), to classic BPF programs and
// runs them. It knows the names and offsets of link and network headers as tcpdump does, not as
// package packet decodes them: a filter means here what it means there. Where it cannot mean the
// same, or where tcpdump takes what is most likely a mistake, it is an error with its place:
// docs/formats.md has the list.
//
//	e, err := filter.Parse("tcp port 80 and not net 10.0.0.0/8")
//	if err != nil {
//		return err // *Error: what is wrong, and where
//	}
//	p, err := e.Compile(packet.LinkEthernet, 65535)
//	if err != nil {
//		return err // this link type has no such header
//	}
//	if p.Match(frame, wireLen) { … }                // files
//	raw, err := e.CompileSocket(packet.LinkEthernet, 65535) // SO_ATTACH_FILTER
//
// A filter is a program for one link type. Captures with several compile one Expr for each.
package filter

import (
	"fmt"

	"golang.org/x/net/bpf"

	"github.com/weirnet/weir/packet"
)

// MaxSnapLen is the snap length that stands for "all of a packet", as in tcpdump.
const MaxSnapLen = 262144

// An Expr is a filter expression that has been read. It may be used by several goroutines.
type Expr struct {
	text string
	root node // nil: every packet
}

// Parse reads an expression. The empty one stands for every packet. Every error is an *Error.
func Parse(text string) (*Expr, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	return &Expr{text, root}, nil
}

// String returns the expression as it was given.
func (e *Expr) String() string { return e.text }

// Compile makes the program for packets of a link type as they stand in captures. In a kernel,
// packets that pass are cut to snapLen bytes; less than 1 stands for MaxSnapLen. Every error is an
// *Error; it says what packets of that link type do not have, or that the program is too long.
func (e *Expr) Compile(link packet.LinkType, snapLen int) (*Program, error) {
	g, err := e.graph(link, false)
	if err != nil {
		return nil, err
	}
	return e.program(g, snapLen)
}

// CompileSocket makes the program for a packet socket of Linux, whose packets lie in the kernel
// without their outermost VLAN tag: it has been moved to the packet's metadata, from where a reader
// of the socket puts it back. The program passes a packet exactly if Compile's passes the same
// packet with its tag put back, so that filters mean the same live and from a file. In this it is
// stricter than tcpdump, whose filters without the word vlan see through such a tag, but only live.
func (e *Expr) CompileSocket(link packet.LinkType, snapLen int) ([]bpf.RawInstruction, error) {
	g, err := e.graph(link, false)
	if err != nil {
		return nil, err
	}
	if link == packet.LinkEthernet {
		tagged, err := e.graph(link, true)
		if err != nil {
			return nil, err
		}
		g = join(g, tagged)
	}
	p, err := e.program(g, snapLen)
	if err != nil {
		return nil, err
	}
	return p.Raw(), nil
}

// Compile is Parse and Expr.Compile in one.
func Compile(text string, link packet.LinkType, snapLen int) (*Program, error) {
	e, err := Parse(text)
	if err != nil {
		return nil, err
	}
	return e.Compile(link, snapLen)
}

// graph compiles the expression as far as a graph of tests.
func (e *Expr) graph(link packet.LinkType, tagged bool) (*block, error) {
	c, err := newCoder(e.text, link, tagged)
	if err != nil {
		return nil, err
	}
	var what cond = constant(true)
	if e.root != nil {
		if what, err = c.node(e.root); err != nil {
			return nil, err
		}
	}
	g, err := lower(what)
	if err == nil && len(order(g)) > maxGraph {
		err = c.errorf(0, "the filter is too long: kernels take %d instructions", maxProgram)
	}
	return g, err
}

// maxGraph bounds the comparisons of a graph that optimise is given: for so many it takes less than
// a second, and hardly any filter with more becomes a program that kernels take.
const maxGraph = 8 * maxProgram

func (e *Expr) program(g *block, snapLen int) (*Program, error) {
	if snapLen < 1 {
		snapLen = MaxSnapLen
	}
	raw := assemble(optimise(g), uint32(snapLen))
	if len(raw) > maxProgram {
		return nil, &Error{Expr: e.text, Offset: 0, Problem: fmt.Sprintf("the filter is too long: %d instructions, and kernels take %d", len(raw), maxProgram)}
	}
	return newProgram(raw)
}
