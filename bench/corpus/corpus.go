package main

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// corpus describes a capture.
type corpus struct {
	packets, flows int
	perSecond      float64
	length         time.Duration
	seed           uint64
	mix            func(r *rand.Rand, number int) flow
}

// maxPackets bounds the memory: a packet takes 16 bytes of it until it is written.
const maxPackets = 1 << 30

// begin is the time of the first packet that could be: 2025-06-01 00:00:00 UTC, the beginning of a
// window of any usual length.
const begin = 1_748_736_000

// flow is what the packets of a flow have in common, and how far it has come.
type flow struct {
	client, server         [16]byte // an IPv4 address in the first four bytes
	clientPort, serverPort uint16
	six                    bool
	flood                  bool // the smallest frames, not answered
	proto                  uint8
	vlan                   uint16  // 0 for no tag
	weight                 float64 // its share of the capture's packets, beside the one that each flow has
	spread                 float64 // its share of the capture's time

	packets, sent int
	seq           [2]uint32 // by end, client first
}

// place is when a packet comes, and of which flow.
type place struct {
	micros int64
	flow   uint32
}

// each calls f with every record of the file: record header and frame. It is f's until it returns.
func (c *corpus) each(f func(record []byte)) {
	r := rand.New(rand.NewPCG(c.seed, 0x77656972))
	flows := make([]flow, c.flows)
	sum := 0.0
	for i := range flows {
		flows[i] = c.mix(r, i)
		sum += flows[i].weight
	}
	left := c.packets - c.flows
	for i := range flows {
		more := int(flows[i].weight / sum * float64(c.packets-c.flows))
		flows[i].packets = 1 + more
		left -= more
	}
	for i := 0; left > 0; i++ { // what rounding left over
		flows[i%c.flows].packets++
		left--
	}

	length := float64(c.length.Microseconds())
	places := make([]place, 0, c.packets)
	for i := range flows {
		spread := flows[i].spread * length
		start := r.Float64() * (length - spread)
		for range flows[i].packets {
			places = append(places, place{int64(start + r.Float64()*spread), uint32(i)})
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.micros != b.micros {
			return int(a.micros - b.micros)
		}
		return int(a.flow) - int(b.flow)
	})

	b := newBuilder(r)
	for _, p := range places {
		f(b.record(p.micros, &flows[p.flow]))
	}
}

// imix makes flows of a border link: 20,000 clients inside, 4,000 servers outside of which few have
// most of the traffic, sizes after Pareto.
func imix(r *rand.Rand, number int) flow {
	const clients, servers = 20_000, 4_000
	f := flow{
		// 7919 and the number of ports have no common factor: the flows of a client all differ.
		clientPort: uint16(32768 + (number/clients*7919+number%clients*31)%28_000),
		serverPort: 443,
		proto:      protoTCP,
		weight:     math.Min(math.Pow(1-r.Float64(), -1/1.1), 2_000),
		spread:     math.Min(0.02*math.Exp(1.2*r.NormFloat64()), 1),
	}
	server := int(servers * math.Pow(r.Float64(), 3))
	switch k := r.IntN(100); {
	case k < 62:
	case k < 76:
		f.serverPort = 80
	case k < 78:
		f.serverPort = [...]uint16{22, 25, 143, 993}[r.IntN(4)]
	case k < 89:
		f.proto = protoUDP // QUIC
	case k < 99:
		f.proto, f.serverPort = protoUDP, 53
		f.weight, f.spread = 0.01, 0.001
	default:
		f.proto, f.weight = protoICMP, 0.1
	}
	if f.six = r.IntN(100) < 12; f.six {
		binary.BigEndian.PutUint64(f.client[:], 0x20010db8_00010000)
		binary.BigEndian.PutUint64(f.server[:], 0x20010db8_ffff0000)
		binary.BigEndian.PutUint64(f.client[8:], uint64(number%clients)*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(f.server[8:], uint64(server+1)*0xbf58476d1ce4e5b9)
	} else {
		binary.BigEndian.PutUint32(f.client[:], 0x0a000000+uint32(number%clients))
		binary.BigEndian.PutUint32(f.server[:], 0xc6120000+uint32(server)) // 198.18.0.0/15, RFC 2544
	}
	if f.proto == protoICMP { // no ports keep two of its flows apart: each has a server of its own
		at := 0
		if f.six {
			f.proto, at = protoICMPv6, 8
		}
		binary.BigEndian.PutUint32(f.server[at:], 0xcb000000+uint32(number))
	}
	if r.IntN(100) < 5 {
		f.vlan = uint16(1 + r.IntN(4))
	}
	return f
}

// flood makes flows of an attack on 256 servers: spoofed sources, each with a flow of its own.
func flood(r *rand.Rand, number int) flow {
	f := flow{
		clientPort: uint16(1024 + r.IntN(64_000)),
		serverPort: [...]uint16{80, 443, 53, 123}[r.IntN(4)],
		proto:      protoTCP,
		flood:      true,
		weight:     1,
		spread:     1,
	}
	if f.serverPort == 53 || f.serverPort == 123 {
		f.proto = protoUDP
	}
	// An odd factor permutes the 32 bits: all sources differ.
	binary.BigEndian.PutUint32(f.client[:], uint32(number)*0x9e3779b1)
	binary.BigEndian.PutUint32(f.server[:], 0xc6120000+uint32(r.IntN(256)))
	return f
}
