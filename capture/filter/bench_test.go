package filter

import (
	"testing"

	"golang.org/x/net/bpf"

	"github.com/weirnet/weir/packet"
)

var benchmarkExpressions = []struct{ name, expr string }{
	{"ip", "ip"},
	{"port", "tcp port 443"},
	{"not-port", "not port 22"},
	{"flags", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0"},
	{"nets", "src net 10.0.0.0/8 and not dst net 10.0.0.0/8 and (port 80 or 443 or 53)"},
}

// BenchmarkMatch is the time of a packet, beside the virtual machine of x/net/bpf.
func BenchmarkMatch(b *testing.B) {
	for _, c := range benchmarkExpressions {
		p, err := Compile(c.expr, packet.LinkEthernet, 0)
		if err != nil {
			b.Fatal(err)
		}
		ins, _ := bpf.Disassemble(p.raw)
		vm, err := bpf.NewVM(ins)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"/weir", func(b *testing.B) {
			for b.Loop() {
				p.Match(syn, len(syn))
			}
		})
		b.Run(c.name+"/x-net-bpf", func(b *testing.B) {
			for b.Loop() {
				if _, err := vm.Run(syn); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile("src net 10.0.0.0/8 and not dst net 10.0.0.0/8 and (port 80 or 443 or 53)", packet.LinkEthernet, 0); err != nil {
			b.Fatal(err)
		}
	}
}
