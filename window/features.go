// Package window turns packets into the 53 features per unit of time of paper B (Urakawa, Aoki,
// Miyamoto: anomaly detection of networks by LSTM), computed from IP and transport headers alone.
//
// Four small types share the work, so that one worker and many give the same windows:
//
//	Filter       which packets count: IP, and with home networks only those that cross their border
//	Clock        which windows are over, from the times of the packets in stream order
//	Accumulator  the open windows of one worker: a Partial for each
//	Series       closed windows in order of time: parts merged, empty ones filled in, then emitted
//
// A single worker does
//
//	if filter.Counts(&h) {
//		if clock.Observe(p.Nanos) {
//			series.Close(clock.Due(), acc.Take(clock.Due()))
//		}
//		acc.Add(p.Nanos, &h)
//	}
//
// and at the end series.Close(math.MaxInt64, acc.Take(math.MaxInt64)). With several workers the one
// goroutine that hands out packets asks Filter and Clock, and where the clock says so it puts the
// same mark into every worker's queue; each worker answers with what its Accumulator has taken.
//
// The package does not judge windows: that is anomaly.
package window

// FeatureVersion names the definition of the features and their order. Models are stamped with
// it, and refuse to load where it differs.
const FeatureVersion = "weir-window-53.1"

// Vector is the features of one window, in the order of Names. Sizes are bytes of IP packets,
// variances are population variances, shares lie in [0, 1], all others are counts.
type Vector [53]float64

// Names holds the name of each feature, as in paper B's table and the header of the CSV.
var Names = [53]string{
	"packet_size_mean", "packets", "packet_size_var", "ttl_mean", "ttl_var",
	"dst_ips", "src_ips", "src_ports", "dst_ports",
	"syn", "fin", "psh", "rst", "urg", "ack", "fin_ack", "rst_ack", "syn_ack", "psh_ack",
	"rst_share", "syn_share", "psh_share", "urg_share", "fin_share", "ack_share",
	"rst_ack_share", "psh_ack_share", "syn_ack_share", "fin_ack_share", "icmp", "udp",
	"src_port_110", "src_port_22", "src_port_53", "src_port_443", "src_port_80", "src_port_25",
	"src_port_465", "src_port_587", "src_port_995", "src_port_993", "src_port_143",
	"dst_port_110", "dst_port_22", "dst_port_53", "dst_port_443", "dst_port_80", "dst_port_25",
	"dst_port_465", "dst_port_587", "dst_port_995", "dst_port_993", "dst_port_143",
}

// wellKnownPorts are the ports that features 32-42 and 43-53 count, in their order.
var wellKnownPorts = [11]uint16{110, 22, 53, 443, 80, 25, 465, 587, 995, 993, 143}

// Kind says what a feature measures, and so in which unit it is and how it may be scaled.
type Kind uint8

const (
	Count    Kind = iota // a whole number of packets, addresses or ports
	Share                // a part of the TCP packets, in [0, 1]
	Mean                 // bytes, or hops for the TTL
	Variance             // the square of that
)

// KindOf returns what feature i, an index into Names, measures.
func KindOf(i int) Kind {
	switch {
	case i == packetSizeMean || i == ttlMean:
		return Mean
	case i == packetSizeVar || i == ttlVar:
		return Variance
	case i >= rstShare && i <= finACKShare:
		return Share
	}
	return Count
}

// TCP returns how many packets were neither UDP nor ICMP, which but for rare protocols are the TCP
// packets that the shares are parts of.
func (v *Vector) TCP() float64 { return v[packets] - v[udpCount] - v[icmpCount] }

// Indexes into a Vector.
const (
	packetSizeMean = iota
	packets
	packetSizeVar
	ttlMean
	ttlVar
	dstIPs
	srcIPs
	srcPorts
	dstPorts
	synCount
	finCount
	pshCount
	rstCount
	urgCount
	ackCount
	finACKCount
	rstACKCount
	synACKCount
	pshACKCount
	rstShare
	synShare
	pshShare
	urgShare
	finShare
	ackShare
	rstACKShare
	pshACKShare
	synACKShare
	finACKShare
	icmpCount
	udpCount
	srcPort110 // the first of 11
	dstPort110 = srcPort110 + len(wellKnownPorts)
)
