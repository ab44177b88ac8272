// Command corpus writes the synthetic captures that the packet path is measured with. The same
// options give the same bytes.
//
//	go run ./bench/corpus -kind imix FILE.pcap    5 M packets, 200,000 flows, 580 bytes on average
//	go run ./bench/corpus -kind min FILE.pcap     5 M packets of 60 bytes, 1 M flows of five packets
//	go run ./bench/corpus -kind flows FILE.pcap   the attacks of bench/attack, by their names
//
// imix is what a border link carries: TCP with handshakes and FINs, UDP, a little ICMP, a few long
// flows and many short ones, 12 % of the flows IPv6, 5 % behind a VLAN tag. min is a flood: SYNs and
// UDP datagrams of the smallest frames there are, every flow from an address of its own, the
// packets of a flow as far apart as any others, so that no cache helps whoever keeps flows.
// Payloads are random bytes: no program that looks into them finds anything.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weirnet/weir/bench/attack"
)

func main() {
	kind := flag.String("kind", "imix", "imix, min, or a kind of bench/attack")
	packets := flag.Int("packets", 5_000_000, "packets in the capture")
	flows := flag.Int("flows", 0, "flows among them (default 200,000 of imix, 1,000,000 of min, in proportion to the packets)")
	seconds := flag.Float64("seconds", 0, "length of the capture (default 215,000 packets per second of imix, 250,000 of min)")
	seed := flag.Uint64("seed", 1, "seed of everything random")
	flag.Parse()
	if err := run(*kind, *packets, *flows, *seconds, *seed, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

func run(kind string, packets, flows int, seconds float64, seed uint64, args []string) error {
	if len(args) != 1 {
		return errors.New("name one file to write, or - for standard output")
	}
	var c corpus
	write := c.write
	switch kind {
	case "imix":
		c = corpus{packets: packets, flows: packets / 25, perSecond: 215_000, seed: seed, mix: imix}
	case "min":
		c = corpus{packets: packets, flows: packets / 5, perSecond: 250_000, seed: seed, mix: flood}
	default:
		if !slices.Contains(attack.Kinds(), kind) {
			return fmt.Errorf("-kind %q: must be imix, min, or of package attack: %s", kind, strings.Join(attack.Kinds(), ", "))
		}
		write = func(w io.Writer) error { return attack.Write(w, kind, packets, seed) }
	}
	if flows > 0 {
		c.flows = flows
	}
	c.length = time.Duration(float64(packets) / c.perSecond * float64(time.Second))
	if seconds > 0 {
		c.length = time.Duration(seconds * float64(time.Second))
	}
	out := os.Stdout
	if args[0] != "-" {
		f, err := os.Create(args[0])
		if err != nil {
			return err
		}
		out = f
	}
	return errors.Join(write(out), out.Close())
}

// write writes the capture to w.
func (c *corpus) write(w io.Writer) error {
	if c.flows < 1 || c.packets < c.flows || c.packets > maxPackets || c.length <= 0 {
		return fmt.Errorf("%d packets of %d flows in %v: a flow has at least one packet, a capture at most %d", c.packets, c.flows, c.length, maxPackets)
	}
	out := bufio.NewWriterSize(w, 1<<20)
	out.Write(fileHeader()) // an error stays until Flush
	c.each(func(record []byte) { out.Write(record) })
	return out.Flush()
}
