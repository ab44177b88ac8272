package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/weirnet/weir/packet"
)

// twin returns the virtual machine of x/net/bpf for a program: slow, and written by others. It is nil
// where that machine lacks an instruction. It has no other length than that of the captured bytes.
func twin(t *testing.T, raw []bpf.RawInstruction) *bpf.VM {
	t.Helper()
	ins, ok := bpf.Disassemble(raw)
	if !ok || slices.Contains(ins, bpf.Instruction(bpf.NegateA{})) {
		return nil
	}
	vm, err := bpf.NewVM(ins)
	if err != nil {
		t.Fatalf("x/net/bpf: %v\n%v", err, raw)
	}
	return vm
}

// compareWithTwin compares the verdict on data.
func compareWithTwin(t *testing.T, p *Program, vm *bpf.VM, data []byte) {
	t.Helper()
	got := p.Match(data, len(data))
	if vm == nil {
		return
	}
	want, err := vm.Run(data)
	if err != nil {
		t.Fatalf("x/net/bpf: %v", err)
	}
	if got != (want != 0) {
		t.Fatalf("%x passes: %v, x/net/bpf %v\n%v", data, got, want != 0, p.raw)
	}
}

// TestTwin compares Match with its twin on all expressions and packets.
func TestTwin(t *testing.T) {
	all := frames()
	machines := 0
	for i, expr := range readExpressions(t) {
		for link := range linkNames {
			p, err := Compile(expr, link, 0)
			if err != nil {
				continue
			}
			vm := twin(t, p.raw)
			if vm != nil {
				machines++
			}
			for j := i % 5; j < len(all); j += 5 {
				if all[j].link == link {
					compareWithTwin(t, p, vm, all[j].data)
				}
			}
		}
	}
	if machines < 1000 {
		t.Errorf("%d programs compared", machines)
	}
}

// FuzzParse wants that no text makes the parser panic, that places of errors lie in the text, and
// that programs of all link types are valid, for packets of captures and of sockets, and mean the
// same to Match and its twin.
func FuzzParse(f *testing.F) {
	for _, expr := range readExpressions(f) {
		f.Add(expr, syn)
	}
	for _, c := range readErrors(f) {
		f.Add(c.expr, syn)
	}
	links := []packet.LinkType{}
	for link := range linkNames {
		links = append(links, link)
	}
	slices.Sort(links)
	f.Fuzz(func(t *testing.T, expr string, data []byte) {
		fine := func(err error) {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%q: %v is no *Error", expr, err)
			}
			if e.Expr != expr || e.Offset < 0 || e.Offset > len(expr) || strings.Count(e.Pointer(), "\n") != 1 {
				t.Fatalf("%q: the error is at %d", expr, e.Offset)
			}
		}
		e, err := Parse(expr)
		if err != nil {
			fine(err)
			return
		}
		for _, link := range links {
			if _, err := e.CompileSocket(link, 96); err != nil {
				fine(err)
			}
			p, err := e.Compile(link, 96)
			if err != nil {
				fine(err)
				continue
			}
			compareWithTwin(t, p, twin(t, p.raw), data)
		}
	})
}

// FuzzProgram wants that programs which are taken end, stay within the packet, and mean the same to
// Match and its twin.
func FuzzProgram(f *testing.F) {
	for _, expr := range []string{"tcp port 80", "ip[ip[0] & 0xf] * 2 = len", "vlan 5 and portrange 1-9"} {
		p, err := Compile(expr, packet.LinkEthernet, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(dump(p.Raw()), syn)
	}
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		p, err := ReadProgram(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, in := range p.raw {
			if in.K >= metadata && in.Op == opLoadWord || in.K >= 1<<31 && in.Op&0xe0 == 0x40 {
				return // the twin knows neither metadata nor that X + k has 32 bits
			}
		}
		compareWithTwin(t, p, twin(t, p.raw), data)
	})
}

// dump writes a program as "tcpdump -ddd" does.
func dump(raw []bpf.RawInstruction) string {
	var b strings.Builder
	fmt.Fprintln(&b, len(raw))
	for _, in := range raw {
		fmt.Fprintln(&b, in.Op, in.Jt, in.Jf, in.K)
	}
	return b.String()
}
