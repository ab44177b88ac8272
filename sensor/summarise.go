package sensor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/report"
	"github.com/weirnet/weir/window"
)

// summarise says in a plain sentence what made a window anomalous: what there was too much or too little of, by whom, and how
// much of the score that is. A feature and its share of the TCP packets are one matter.
func summarise(a *event.Alert, s *sample) string {
	if len(a.Features) == 0 || !(*a.Score > 0) {
		return ""
	}
	if a.Packets == 0 {
		return fmt.Sprintf("no packets at all, usually %s", report.Plain(expected(a, "packets")))
	}
	matter := func(name string) string { return strings.TrimSuffix(name, "_share") }
	sums := map[string]float64{}
	best := ""
	for _, f := range a.Features { // the first of equals
		if sums[matter(f.Name)] += f.Share; best == "" || sums[matter(f.Name)] > sums[best] {
			best = matter(f.Name)
		}
	}
	lead := a.Features[slices.IndexFunc(a.Features, func(f event.Feature) bool { return matter(f.Name) == best })]
	kind := window.KindOf(slices.Index(window.Names[:], lead.Name))
	if kind == window.Share { // the count says more, unless it is as expected and the share alone is not
		if i := slices.IndexFunc(a.Features, func(f event.Feature) bool { return f.Name == best }); i >= 0 && factor(&a.Features[i]) >= 2 {
			movers := lead.Movers
			if lead, kind = a.Features[i], window.Count; lead.Movers == nil {
				lead.Movers = movers
			}
		}
	}
	text := amount(&lead, kind)
	if who := mover(&lead, "src_ip"); who != "" && lead.Name != "src_ips" {
		text += " from " + who
		ports, hosts, port, least := s.reach(lead.Name, who)
		target := mover(&lead, "dest_ip")
		switch {
		case hosts >= many:
			text += " to " + count(hosts, "hosts", least)
		case target != "" && target != who: // a host that sends most may also receive most, in other flows
			text += " to " + target
		}
		switch {
		case strings.HasPrefix(lead.Name, "dst_port_"):
		case ports >= many && hosts >= many:
			text += " and " + count(ports, "ports", least)
		case ports >= many && target != "" && target != who:
			text += ", " + count(ports, "ports", least)
		case ports >= many:
			text += " to " + count(ports, "ports", least)
		case ports == 1:
			text += fmt.Sprintf(", port %d", port)
		}
		if answers[best] && target != "" { // who is answered is who began
			if ports, hosts, _, least := s.reach("packets", target); hosts >= many || ports >= many {
				text += ", which sent to "
				if hosts >= many {
					text += count(hosts, "hosts", least)
				}
				if hosts >= many && ports >= many {
					text += " and "
				}
				if ports >= many {
					text += count(ports, "ports", least)
				}
			}
		}
	} else if who := mover(&lead, "dest_ip"); who != "" && lead.Name != "dst_ips" {
		text += " to " + who
	}
	return fmt.Sprintf("%s; %.0f %% of the score", text, 100*sums[best] / *a.Score)
}

// answers are the features of packets that answer others.
var answers = map[string]bool{"rst": true, "rst_ack": true, "syn_ack": true}

// count is a number of things, or the least that they are.
func count(n int, what string, least bool) string {
	if least {
		what += " at least"
	}
	return report.Count(n) + " " + what
}

// many is how many ports or hosts are worth a number.
const many = 5

// mover is who moved a feature for the most part, "" when nobody did.
func mover(f *event.Feature, by string) string {
	for _, m := range f.Movers {
		if m.By == by && m.Part >= 0.5 {
			return m.Name
		}
	}
	return ""
}

func expected(a *event.Alert, name string) float64 {
	for _, f := range a.Features {
		if f.Name == name {
			return f.Expected
		}
	}
	return 0
}

// factor is how many times the expected a feature is, in either direction, at least 1.
func factor(f *event.Feature) float64 {
	more, less := max(f.Observed, f.Expected), min(f.Observed, f.Expected)
	return more / max(less, 1e-3)
}

// amount says what a feature is and what it usually is.
func amount(f *event.Feature, kind window.Kind) string {
	m := &measures[slices.Index(window.Names[:], f.Name)]
	switch {
	case kind == window.Share:
		return fmt.Sprintf("%s %s %% of TCP, usually %s %%", m.what, report.Plain(100*f.Observed), report.Plain(100*f.Expected))
	case kind == window.Mean || kind == window.Variance:
		what := map[string]string{
			"packet_size_mean": "mean packet size", "packet_size_var": "variance of packet sizes", "ttl_mean": "mean TTL", "ttl_var": "variance of TTLs",
		}[f.Name]
		return fmt.Sprintf("%s %s, usually %s", what, report.Plain(f.Observed), report.Plain(f.Expected))
	case f.Observed == 0:
		return fmt.Sprintf("no %s, usually %s", m.what, report.Plain(f.Expected))
	case f.Expected < 0.5:
		return fmt.Sprintf("%s %s, usually none,", report.Plain(f.Observed), m.what)
	}
	ratio := f.Observed / f.Expected
	text := fmt.Sprintf("%.2g", ratio)
	if ratio >= 10 {
		text = report.Count(int64(ratio + 0.5))
	}
	return fmt.Sprintf("%s %s × usual", m.what, text)
}
