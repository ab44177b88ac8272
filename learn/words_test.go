package learn

import (
	"testing"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/window"
)

// Every feature has words of its own.
func TestWords(t *testing.T) {
	seen := map[string]string{}
	for _, name := range window.Names {
		w := inWords(name)
		if other, twice := seen[w]; twice {
			t.Errorf("%s and %s are both %q", name, other, w)
		}
		seen[w] = name
	}
	for name, want := range map[string]string{
		"rst_ack": "RST+ACK packets", "syn_ack_share": "share of SYN+ACK among TCP packets", "dst_port_443": "packets to port 443", "icmp": "ICMP packets",
	} {
		if got := inWords(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	s := Stretch{Features: []anomaly.OddFeature{{Index: 9, Value: 400, Median: 3}, {Index: 8, Value: 1000, Median: 7}}}
	if got, want := s.sentence(), "SYN packets: 400, mostly 3; destination ports: 1000, mostly 7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
