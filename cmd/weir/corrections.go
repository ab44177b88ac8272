package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/train"
)

// correctionsName is what the corrected flows are called among captures.
const correctionsName = "corrected labels"

// readCorrections returns the corrected flows of a history that can be learned from, those corrected last at the end, and how many cannot.
func readCorrections(ctx context.Context, dir string) (all []dataset.Correction, without int, err error) {
	s, err := store.Open(dir)
	if err != nil {
		return nil, 0, err
	}
	defer s.Close()
	type ordered struct {
		dataset.Correction
		by int64
	}
	var found []ordered
	for one, err := range s.Samples(ctx, store.SampleQuery{Corrected: true}) {
		if err != nil {
			return nil, 0, err
		}
		if len(one.Label.Sample.Opening) == 0 {
			without++
			continue
		}
		x := ordered{by: one.Correction}
		x.Label, x.Start = one.App, int64(one.Label.Sample.Start)
		x.Key, err = keyOfTuple(&one.Tuple)
		if err == nil {
			x.Opening, err = event.ParseOpening(one.Label.Sample.Opening, x.Start)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%s: sample %d: %w", dir, one.ID, err)
		}
		found = append(found, x)
	}
	slices.SortStableFunc(found, func(a, b ordered) int { return cmp.Compare(a.by, b.by) })
	for i := range found {
		all = append(all, found[i].Correction)
	}
	return all, without, nil
}

// keyOfTuple returns the key of the flow that events name so. Flows with payload are of TCP or UDP.
func keyOfTuple(t *event.Tuple) (k flow.Key, err error) {
	src, err1 := netip.ParseAddr(t.SrcIP)
	dst, err2 := netip.ParseAddr(t.DestIP)
	if err := errors.Join(err1, err2); err != nil {
		return k, err
	}
	k = flow.Key{Src: packet.AddrFrom(src), Dst: packet.AddrFrom(dst), SrcPort: t.SrcPort, DstPort: t.DestPort, Version: 4, Kind: flow.Ports}
	if src.Is6() {
		k.Version = 6
	}
	switch t.Proto {
	case event.ProtoName(packet.TCP):
		k.Proto = packet.TCP
	case event.ProtoName(packet.UDP):
		k.Proto = packet.UDP
	default:
		return k, fmt.Errorf("protocol %q carries no payload to learn from", t.Proto)
	}
	return k, nil
}

// correct adds the corrected labels of a history to what is learned.
func (f *appsFlags) correct(ctx context.Context, g *shared, set *dataset.Set, arch *classify.Architecture) error {
	all, without, err := readCorrections(ctx, f.corrections)
	if err != nil {
		return err
	}
	c, err := set.Correct(correctionsName, all, train.Normaliser(arch))
	if errors.Is(err, dataset.ErrTooFew) {
		return fmt.Errorf("%w: name more of its flows, or take its label back (weir labels list --store %s)", err, f.corrections)
	}
	if err != nil {
		return err
	}
	g.info("corrected labels: %d flows to learn from, each weighs as one of a capture", c.Flows)
	for _, left := range []struct {
		n   int
		why string
	}{
		{without, "have no payload any more"},
		{c.Twice, "are left out: there is the same flow or opening with this label already"},
		{c.Contradicting, "are left out: there is the same flow or opening with another label, in a capture or corrected later"},
	} {
		if left.n > 0 {
			g.info("corrected labels: %d flows %s", left.n, left.why)
		}
	}
	return nil
}

func newLabelsExport(g *shared) *cobra.Command {
	var (
		asked past
		out   string
	)
	c := &cobra.Command{
		Use:   "export -o DIR",
		Short: "Write the labelled flows as a labelled capture, for weir train apps --data and other tools",
		Long: `Write the labelled flows that have payload into a new directory: their first payloads as packets in labels.pcapng, cut as they were
kept, and flows.csv with the label of each. Headers beside addresses and ports are made up, and so is the SYN of TCP flows, which says who
began. Files are for their owner alone: they hold payload.`,
		Example: `  weir labels export --store history -o corrected/`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, _, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			dir := s.Dir()
			if err := s.Close(); err != nil {
				return err
			}
			all, without, err := readCorrections(c.Context(), dir)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				return fmt.Errorf("%s: no labelled flow has payload", dir)
			}
			if err := os.Mkdir(out, 0o700); err != nil {
				return err
			}
			if err := errors.Join(writeCorrections(filepath.Join(out, "labels.pcapng"), all), writeFlowLabels(filepath.Join(out, "flows.csv"), all)); err != nil {
				return err
			}
			g.info("%d flows in %s; %d more have no payload", len(all), out, without)
			return nil
		},
	}
	asked.onlyStore(c)
	c.Flags().StringVarP(&out, "output", "o", "", "directory to make")
	require(c, "output")
	return c
}

func writeFlowLabels(path string, all []dataset.Correction) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	w.Write([]string{"file", "start", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "label"})
	for i := range all {
		x := &all[i]
		src, dst := x.Key.Source(), x.Key.Destination()
		w.Write([]string{
			"labels.pcapng", time.Unix(0, x.Start).UTC().Format(time.RFC3339Nano), src.Addr().String(), strconv.Itoa(int(src.Port())),
			dst.Addr().String(), strconv.Itoa(int(dst.Port())), strings.ToLower(event.ProtoName(x.Key.Proto)), x.Label,
		})
	}
	w.Flush()
	return errors.Join(w.Error(), f.Close())
}

// writeCorrections writes openings as packets, in order of time.
func writeCorrections(path string, all []dataset.Correction) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	var packets []capture.Packet
	for i := range all {
		x := &all[i]
		at := min(x.Start, x.Opening[0].Nanos)
		if x.Key.Proto == packet.TCP || x.Opening[0].Dir == flow.Responder {
			packets = append(packets, packetOf(x.Key, &flow.Payload{Nanos: at}))
		}
		for k := range x.Opening {
			packets = append(packets, packetOf(x.Key, &x.Opening[k]))
		}
	}
	slices.SortStableFunc(packets, func(a, b capture.Packet) int { return cmp.Compare(a.Nanos, b.Nanos) })
	w := capture.NewWriter(f)
	w.Section.Comment = "first payloads of flows; headers are made up"
	for i := range packets {
		if err := w.Write(&packets[i]); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// packetOf returns an IP packet with a payload, without checksums; a SYN where a TCP payload has no length.
func packetOf(k flow.Key, p *flow.Payload) capture.Packet {
	src, dst := k.Source(), k.Destination()
	if p.Dir == flow.Responder {
		src, dst = dst, src
	}
	transport := 8
	if k.Proto == packet.TCP {
		transport = 20
	}
	const most = 0xffff - 60 // what an IPv4 length can say
	length := min(p.Len, most)
	var b []byte
	if k.Version == 6 {
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(transport+length))
		b = append(b, k.Proto, 64)
	} else {
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+transport+length))
		b = append(b, 0, 0, 0x40, 0, 64, k.Proto, 0, 0)
	}
	b = append(append(b, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	if k.Proto == packet.TCP {
		flags := byte(0x18) // PSH, ACK
		if p.Len == 0 {
			flags = 0x02 // SYN
		}
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 5<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(8+length))
		b = append(b, 0, 0)
	}
	whole := len(b) + length
	return capture.Packet{Nanos: p.Nanos, Data: append(b, p.Data[:min(len(p.Data), length)]...), WireLen: whole, Link: packet.LinkRaw}
}
