package learn

import (
	"fmt"
	"strings"

	"github.com/weirnet/weir/report"
	"github.com/weirnet/weir/window"
)

// words are what people call features; those that are not here go by a rule, see inWords.
var words = map[string]string{
	"packet_size_mean": "mean size of packets", "packet_size_var": "variance of packet sizes", "ttl_mean": "mean TTL", "ttl_var": "variance of the TTL",
	"dst_ips": "destination addresses", "src_ips": "source addresses", "src_ports": "source ports", "dst_ports": "destination ports",
	"icmp": "ICMP packets", "udp": "UDP packets", "packets": "packets",
}

// inWords is what people call a feature.
func inWords(name string) string {
	if w, ok := words[name]; ok {
		return w
	}
	if port, ok := strings.CutPrefix(name, "src_port_"); ok {
		return "packets from port " + port
	}
	if port, ok := strings.CutPrefix(name, "dst_port_"); ok {
		return "packets to port " + port
	}
	flags, share := strings.CutSuffix(name, "_share")
	flags = strings.ToUpper(strings.ReplaceAll(flags, "_", "+"))
	if share {
		return "share of " + flags + " among TCP packets"
	}
	return flags + " packets"
}

// sentence says what is odd, for who does not know the features' names.
func (s *Stretch) sentence() string {
	var parts []string
	for _, f := range s.Features {
		parts = append(parts, fmt.Sprintf("%s: %s, mostly %s", inWords(window.Names[f.Index]), report.Plain(f.Value), report.Plain(f.Median)))
	}
	return strings.Join(parts, "; ")
}
