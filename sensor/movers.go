package sensor

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// measure says which packets a feature is made of: those with all of the flags, the protocol or the port; all packets where
// none is set. With distinct it counts what they differ in.
type measure struct {
	flags            uint8
	proto            []uint8
	srcPort, dstPort uint16
	distinct         func(*seen) (any, bool)
	what             string // what a sentence calls the packets
}

// measures are by the index of the feature. A share is made of the packets that it is the share of, as is a mean or a variance.
var measures = func() (all [len(window.Names)]measure) {
	flags := map[string]uint8{"fin": packet.FIN, "syn": packet.SYN, "rst": packet.RST, "psh": packet.PSH, "ack": packet.ACK, "urg": packet.URG}
	for i, name := range window.Names {
		m := &all[i]
		base := strings.TrimSuffix(name, "_share")
		switch {
		case name == "icmp":
			m.proto, m.what = []uint8{packet.ICMP, packet.ICMPv6}, "ICMP packets"
		case name == "udp":
			m.proto, m.what = []uint8{packet.UDP}, "UDP packets"
		case strings.HasPrefix(name, "src_port_"):
			m.srcPort, m.what = port(name), "packets from port "+name[len("src_port_"):]
		case strings.HasPrefix(name, "dst_port_"):
			m.dstPort, m.what = port(name), "packets to port "+name[len("dst_port_"):]
		case name == "src_ips":
			m.distinct, m.what = func(p *seen) (any, bool) { return p.src, true }, "sources"
		case name == "dst_ips":
			m.distinct, m.what = func(p *seen) (any, bool) { return p.dst, true }, "destinations"
		case name == "src_ports":
			m.distinct, m.what = func(p *seen) (any, bool) { return p.srcPort, p.ports }, "source ports"
		case name == "dst_ports":
			m.distinct, m.what = func(p *seen) (any, bool) { return p.dstPort, p.ports }, "destination ports"
		default:
			m.what = "packets"
			for _, flag := range strings.Split(base, "_") {
				m.flags |= flags[flag]
			}
			if m.flags != 0 {
				m.what = strings.ToUpper(strings.ReplaceAll(base, "_", "-")) + " packets"
			}
		}
	}
	return all
}()

func port(name string) uint16 {
	n, err := strconv.Atoi(name[len("src_port_"):])
	if err != nil {
		panic(err) // the names are ours
	}
	return uint16(n)
}

func (m *measure) counts(p *seen) bool {
	switch {
	case m.flags != 0:
		return p.flags&m.flags == m.flags
	case m.proto != nil:
		return slices.Contains(m.proto, p.proto)
	case m.srcPort != 0:
		return p.ports && p.srcPort == m.srcPort
	case m.dstPort != 0:
		return p.ports && p.dstPort == m.dstPort
	}
	return true
}

// What a window's packets are told apart by.
const (
	bySource = iota
	byDestination
	byPort
	ways
)

var wayNames = [ways]string{"src_ip", "dest_ip", "dest_port"}

// party is someone or something that packets are of.
type party struct {
	addr    packet.Addr
	version uint8
	port    uint16
}

func (p *party) String() string {
	if p.version == 0 {
		return strconv.Itoa(int(p.port))
	}
	return p.addr.Netip(p.version).String()
}

// of returns the party of a packet, false when it has none.
func of(way int, p *seen) (party, bool) {
	switch way {
	case bySource:
		return party{addr: p.src, version: p.version}, true
	case byDestination:
		return party{addr: p.dst, version: p.version}, true
	}
	return party{port: p.dstPort}, p.ports
}

// Of an alert, so many features are taken apart by who moved them: the first ones up to a share of the score; of each way so many are told.
const (
	maxLeading   = 12
	leadingShare = 0.9
	maxMovers    = 3
)

// leading returns how many of the features, which come by their share, are leading ones.
func leading(all []event.Feature, score float64) (n int) {
	sum := 0.0
	for n < min(maxLeading, len(all)) && sum < leadingShare*score && all[n].Share > 0 {
		sum += all[n].Share
		n++
	}
	return n
}

// tally is the packets of parties, in a window and in a usual one, by way and leading feature.
type tally [ways]map[party]*[maxLeading][2]float64

// movers says of the leading features who moved them against the usual windows: whose packets, or distinct values where it is
// those that are counted, make up for the most of the change.
func (s *samples) movers(of []event.Feature, now *sample) {
	ms := make([]*measure, len(of))
	for i := range of {
		ms[i] = &measures[slices.Index(window.Names[:], of[i].Name)]
	}
	var t tally
	for way := range t {
		t[way] = map[party]*[maxLeading][2]float64{}
	}
	var total [maxLeading][2]float64
	t.count(ms, &total, now, 0, float64(now.step))
	for _, one := range s.usual {
		t.count(ms, &total, one, 1, float64(one.step)/float64(len(s.usual)))
	}
	for i := range of {
		for way := range t {
			var found []event.Mover
			change := total[i][0] - total[i][1]
			for who, counts := range t[way] {
				moved := counts[i][0] - counts[i][1]
				if moved == 0 {
					continue
				}
				m := event.Mover{By: wayNames[way], Name: who.String(), Observed: counts[i][0], Usual: counts[i][1]}
				if change != 0 {
					m.Part = min(max(moved/change, 0), 1)
				}
				found = append(found, m)
			}
			slices.SortFunc(found, func(a, b event.Mover) int {
				return cmp.Or(cmp.Compare(b.Part, a.Part), cmp.Compare(math.Abs(b.Observed-b.Usual), math.Abs(a.Observed-a.Usual)), strings.Compare(a.Name, b.Name))
			})
			for _, m := range found[:min(len(found), maxMovers)] {
				if m.Part >= leastPart {
					of[i].Movers = append(of[i].Movers, m)
				}
			}
		}
	}
}

// leastPart is the part of a change below which nobody is said to have moved it.
const leastPart = 0.1

// count adds the packets of a sample, each for weight; column is 0 for the window at hand, 1 for usual ones.
func (t *tally) count(ms []*measure, total *[maxLeading][2]float64, s *sample, column int, weight float64) {
	distinct := map[any]bool{}
	type value struct {
		feature int
		who     party
		value   any
	}
	for k := range s.items {
		p := &s.items[k]
		var in [maxLeading]bool
		some := false
		for i, m := range ms {
			if in[i] = m.counts(p); in[i] && m.distinct == nil {
				total[i][column] += weight
			}
			some = some || in[i]
		}
		if !some {
			continue
		}
		for way := range t {
			who, ok := of(way, p)
			if !ok {
				continue
			}
			counts := t[way][who]
			if counts == nil {
				counts = new([maxLeading][2]float64)
				t[way][who] = counts
			}
			for i, m := range ms {
				switch {
				case !in[i]:
				case m.distinct == nil:
					counts[i][column] += weight
				default:
					v, ok := m.distinct(p)
					if key := (value{i, who, v}); ok && !distinct[key] {
						distinct[key] = true
						counts[i][column] += weight / float64(s.step)
					}
					if key := (value{i, party{}, v}); ok && !distinct[key] {
						distinct[key] = true
						total[i][column] += weight / float64(s.step)
					}
				}
			}
		}
	}
}

// reach says how many different ports and hosts the packets of a feature go to that a source sends, and the port when it
// is one alone. Of a window that is not kept whole it is the least that there are.
func (s *sample) reach(feature string, source string) (ports, hosts int, port uint16, least bool) {
	m := &measures[slices.Index(window.Names[:], feature)]
	from, err := netip.ParseAddr(source)
	if err != nil {
		return 0, 0, 0, false
	}
	p, h := map[uint16]bool{}, map[packet.Addr]bool{}
	for i := range s.items {
		one := &s.items[i]
		if !m.counts(one) || one.src.Netip(one.version) != from {
			continue
		}
		h[one.dst] = true
		if one.ports {
			p[one.dstPort] = true
			port = one.dstPort
		}
	}
	return len(p), len(h), port, s.step > 1
}

// apps says which applications moved the number of packets against the usual windows, by what they are to be called.
func (s *samples) apps(now []uint64, name func(class int) string) (found []event.Mover) {
	change := 0.0
	for class := range now {
		m := event.Mover{By: "app", Observed: float64(now[class])}
		for _, one := range s.usual {
			if class < len(one.apps) {
				m.Usual += float64(one.apps[class]) / float64(len(s.usual))
			}
		}
		change += m.Observed - m.Usual
		if m.Observed != m.Usual {
			m.Name = name(class)
			found = append(found, m)
		}
	}
	for i := range found {
		if change != 0 {
			found[i].Part = min(max((found[i].Observed-found[i].Usual)/change, 0), 1)
		}
	}
	slices.SortStableFunc(found, func(a, b event.Mover) int { return cmp.Compare(b.Part, a.Part) })
	found = found[:min(len(found), maxMovers)]
	return slices.DeleteFunc(found, func(m event.Mover) bool { return m.Part < leastPart })
}
