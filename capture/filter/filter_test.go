package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/weirnet/weir/packet"
)

// syn is an Ethernet frame with a SYN from 10.0.0.1 port 1025 to 10.0.0.2 port 80.
var syn = []byte{
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x08, 0x00,
	0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
	0x04, 0x01, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x20, 0, 0, 0, 0, 0,
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		expr string
		want bool
	}{
		{"", true},
		{"tcp port 80", true},
		{"udp port 80", false},
		{"port 53 or 80", true},
		{"src port 80", false},
		{"src port 1025 and dst port 80", true},
		{"host 10.0.0.2 and not icmp", true},
		{"src net 10.0.0.0/8 and dst net 10.0.0.0/8", true},
		{"tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn", true},
		{"ip[2:2] = 40 and len = 54", true},
		{"ip6 or vlan", false},
		{"ether src 6:7:8:9:a:b", true},
	} {
		p, err := Compile(c.expr, packet.LinkEthernet, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(syn, len(syn)); got != c.want {
			t.Errorf("%q passes the SYN: %v, want %v", c.expr, got, c.want)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	p, err := Compile("port 53 or 80 and ip[0] = ip[1]", packet.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { p.Match(syn, len(syn)) }); n != 0 {
		t.Errorf("Match allocates %v times", n)
	}
}

// Long lists need jumps longer than a comparison has, and end where kernels do.
func TestLongPrograms(t *testing.T) {
	expr := ""
	for n := 0; ; n++ {
		p, err := Compile(expr+"host 10.0.0.2", packet.LinkEthernet, 0)
		var e *Error
		if errors.As(err, &e) {
			if n < 400 || !strings.Contains(e.Problem, "4096") {
				t.Errorf("%d hosts do not fit: %v", n, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		raw := p.Raw()
		if len(raw) > 4096 {
			t.Fatalf("%d instructions", len(raw))
		}
		if !p.Match(syn, len(syn)) {
			t.Fatalf("with %d other hosts, the host does not pass", n)
		}
		ins, ok := bpf.Disassemble(raw)
		if !ok {
			t.Fatal("instructions that x/net/bpf does not know")
		}
		if vm, err := bpf.NewVM(ins); err != nil {
			t.Fatal(err)
		} else if got, err := vm.Run(syn); got == 0 || err != nil {
			t.Fatalf("x/net/bpf: %d, %v", got, err)
		}
		for range 1 + n/4 {
			expr += fmt.Sprintf("host 10.1.%d.%d or ", n/256, n%256)
			n++
		}
	}
}
