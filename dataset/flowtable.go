package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

// flowRow is one labelled flow of a table, ready to be joined. It takes 96 bytes.
type flowRow struct {
	key        flow.Key // joinKey of the 5-tuple
	start, end int64    // ns since the Unix epoch; noTime without
	label      int32    // index into flowTable.labels
	capture    int32    // index into flowTable.captures; -1: any capture
	line       int32
}

// noTime is the start of a row without a time.
const noTime = math.MinInt64

// flowTable is a table of labelled flows: flows.csv, or any other of the forms that
// readFlowTable knows.
type flowTable struct {
	path      string
	rows      []flowRow
	labels    []string // distinct labels, in order of appearance
	captures  []string // distinct capture names, in order of appearance; of rows left out too
	filtered  int      // rows left out by the confidence filter
	unlabeled int      // rows with an empty label
	bad       []badRow // rows that cannot be read
	badCount  int
}

// badRow is a row that cannot be read. Only the first ones are kept.
type badRow struct {
	Line int
	Err  error
}

// maxBadRows is how many unreadable rows of a table are named; the others are counted.
const maxBadRows = 10

// flowColumns is where a table of flows keeps what a join needs; -1 where it does not.
type flowColumns struct {
	capture, src, srcPort, dst, dstPort, proto, start, end, duration, label, detail, confidence int
	durationMicros                                                                              bool
}

// findFlowColumns recognises the headers of Zeek conn logs, CICFlowMeter, nDPI's tables, argus
// and plain ones. labelColumn names the label's column; empty: label, or what nDPI calls it.
func findFlowColumns(t *table, labelColumn string) (flowColumns, error) {
	c := flowColumns{
		capture:    t.column("file", "capture", "pcap", "filename"),
		src:        t.column("src", "src_ip", "source_ip", "source_address", "src_addr", "id.orig_h", "saddr", "source"),
		srcPort:    t.column("src_port", "source_port", "sport", "id.orig_p"),
		dst:        t.column("dst", "dst_ip", "dest_ip", "destination_ip", "destination_address", "dst_addr", "id.resp_h", "daddr", "destination"),
		dstPort:    t.column("dst_port", "dest_port", "destination_port", "dport", "id.resp_p"),
		proto:      t.column("l4", "protocol", "proto", "ip_protocol", "ip_proto"),
		start:      t.column("ts", "start", "start_utc", "start_time", "first_seen", "timestamp", "stime"),
		end:        t.column("end", "end_utc", "end_time", "last_seen", "ltime"),
		duration:   t.column("duration", "dur"),
		confidence: t.column("confidence"),
		detail:     t.column("detailed-label", "attack_cat"),
	}
	if c.duration < 0 { // CICFlowMeter's is in microseconds
		c.duration = t.column("flow_duration")
		c.durationMicros = c.duration >= 0
	}
	if labelColumn != "" {
		if c.label = t.column(labelColumn); c.label < 0 {
			return c, fmt.Errorf("%s: no column %q; it has %s", t.name, labelColumn, strings.Join(t.columns, ", "))
		}
	} else {
		c.label = t.column("label", "leaf", "ndpi_proto", "application", "app", "name")
	}
	var missing []string
	for _, need := range []struct {
		name  string
		index int
	}{{"source address", c.src}, {"destination address", c.dst}, {"protocol", c.proto}, {"label", c.label}} {
		if need.index < 0 {
			missing = append(missing, need.name)
		}
	}
	if missing != nil {
		return c, fmt.Errorf("%s: no column for %s; it has %s", t.name, strings.Join(missing, ", "), strings.Join(t.columns, ", "))
	}
	return c, nil
}

// flowTableOptions says how a table of flows is read.
type flowTableOptions struct {
	labelColumn string         // empty: found by its name
	confidence  string         // when not empty: only rows that bear it in the column confidence
	zone        *time.Location // of written times that name none; nil: UTC
	attacks     bool           // a detailed label goes before the label, and no label is one too
}

// parseFlowTable reads a table of labelled flows. Rows that cannot be read are counted and the
// first of them named; a table of nothing else is an error.
func parseFlowTable(name string, r io.Reader, opts flowTableOptions) (*flowTable, error) {
	t, err := newTable(name, r)
	if err != nil {
		return nil, err
	}
	cols, err := findFlowColumns(t, opts.labelColumn)
	if err != nil {
		return nil, err
	}
	if opts.confidence != "" && cols.confidence < 0 {
		return nil, fmt.Errorf("%s: rows of confidence %q are asked for, but there is no column confidence", name, opts.confidence)
	}
	ft := &flowTable{path: name}
	labels, captures := newNames(&ft.labels), newNames(&ft.captures)
	for {
		fields, line, err := t.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		capture := int32(-1)
		if name := t.field(fields, cols.capture); name != "" {
			capture = captures.index(name)
		}
		if opts.confidence != "" && t.field(fields, cols.confidence) != opts.confidence {
			ft.filtered++
			continue
		}
		row, err := cols.row(t, fields, opts.zone)
		if err != nil {
			ft.badCount++
			if len(ft.bad) < maxBadRows {
				ft.bad = append(ft.bad, badRow{line, err})
			}
			continue
		}
		label := t.field(fields, cols.label)
		if detail := t.field(fields, cols.detail); opts.attacks && detail != "" && !isNormal(label) {
			label = detail
		}
		if label == "" && !opts.attacks {
			ft.unlabeled++
			continue
		}
		row.label, row.line, row.capture = labels.index(label), int32(min(line, math.MaxInt32)), capture
		ft.rows = append(ft.rows, row)
	}
	if len(ft.rows) == 0 && ft.badCount > 0 {
		return nil, fmt.Errorf("%s: no row can be read; line %d: %w", name, ft.bad[0].Line, ft.bad[0].Err)
	}
	return ft, nil
}

// row reads the 5-tuple and the times of a row.
func (c *flowColumns) row(t *table, fields []string, zone *time.Location) (flowRow, error) {
	row := flowRow{start: noTime, end: noTime}
	src, err := parseEnd(t.field(fields, c.src), t.field(fields, c.srcPort))
	if err != nil {
		return row, fmt.Errorf("source: %w", err)
	}
	dst, err := parseEnd(t.field(fields, c.dst), t.field(fields, c.dstPort))
	if err != nil {
		return row, fmt.Errorf("destination: %w", err)
	}
	proto, err := parseProto(t.field(fields, c.proto))
	if err != nil {
		return row, err
	}
	if row.key, err = keyOf(src, dst, proto); err != nil {
		return row, err
	}
	if text := t.field(fields, c.start); text != "" {
		start, precision, err := parseTime(text, zone)
		if err != nil {
			return row, err
		}
		row.start, row.end = start, start
		if text := t.field(fields, c.end); text != "" {
			end, endPrecision, err := parseTime(text, zone)
			if err != nil {
				return row, err
			}
			row.end, precision = end, max(precision, endPrecision)
		} else if text := t.field(fields, c.duration); text != "" {
			length, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsNaN(length) {
				return row, fmt.Errorf("%q is not a duration", text)
			}
			unit := 1e9
			if c.durationMicros {
				unit = 1e3
			}
			row.end = addNanos(start, length*unit)
		}
		if row.end < row.start {
			row.end = row.start
		}
		row.end = addNanos(row.end, float64(precision-1))
	}
	return row, nil
}

// addNanos adds and saturates.
func addNanos(t int64, delta float64) int64 {
	if sum := float64(t) + delta; sum >= math.MaxInt64 {
		return math.MaxInt64
	} else if sum <= math.MinInt64 {
		return math.MinInt64
	}
	return t + int64(delta)
}

// parseEnd reads an address with its port beside it or, as nDPI's results have it, behind a
// colon: 10.0.0.1:80, [fe80::1]:80.
func parseEnd(addr, port string) (netip.AddrPort, error) {
	if port == "" {
		if end, err := netip.ParseAddrPort(addr); err == nil {
			return netip.AddrPortFrom(end.Addr().Unmap().WithZone(""), end.Port()), nil
		}
	}
	ip, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address", addr)
	}
	var number uint64
	if port != "" {
		if number, err = strconv.ParseUint(strings.TrimSuffix(port, ".0"), 0, 16); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q is not a port", port)
		}
	}
	return netip.AddrPortFrom(ip.Unmap().WithZone(""), uint16(number)), nil
}

// protoNumbers names the protocols that tables of flows name.
var protoNumbers = map[string]uint8{
	"tcp": packet.TCP, "udp": packet.UDP, "sctp": packet.SCTP, "icmp": packet.ICMP, "igmp": 2, "ipv6-icmp": packet.ICMPv6, "icmpv6": packet.ICMPv6,
	"icmp6": packet.ICMPv6, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "pim": 103, "vrrp": 112, "ipip": 4, "ipv6": 41,
}

func parseProto(text string) (uint8, error) {
	if number, ok := protoNumbers[strings.ToLower(text)]; ok {
		return number, nil
	}
	number, err := strconv.ParseUint(strings.TrimSuffix(text, ".0"), 10, 8)
	if err != nil {
		return 0, fmt.Errorf("%q is not a protocol", text)
	}
	return uint8(number), nil
}

// keyOf returns the join key of two ends.
func keyOf(src, dst netip.AddrPort, proto uint8) (flow.Key, error) {
	if src.Addr().Is4() != dst.Addr().Is4() {
		return flow.Key{}, fmt.Errorf("%s and %s are of different IP versions", src.Addr(), dst.Addr())
	}
	key := flow.Key{SrcPort: src.Port(), DstPort: dst.Port(), Proto: proto, Version: 4, Kind: flow.Ports}
	if src.Addr().Is6() {
		key.Version = 6
	}
	copy(key.Src[:], src.Addr().AsSlice())
	copy(key.Dst[:], dst.Addr().AsSlice())
	return joinKey(key), nil
}

// joinKey reduces a key to what a table of flows knows of it: both directions are one, and only
// TCP, UDP and SCTP have ports.
func joinKey(k flow.Key) flow.Key {
	k = flow.Key{Src: k.Src, Dst: k.Dst, SrcPort: k.SrcPort, DstPort: k.DstPort, Version: k.Version, Proto: k.Proto, Kind: flow.Ports}
	if k.Proto != packet.TCP && k.Proto != packet.UDP && k.Proto != packet.SCTP {
		k.SrcPort, k.DstPort, k.Kind = 0, 0, flow.Portless
	}
	if after(k.Src, k.Dst) || k.Src == k.Dst && k.SrcPort > k.DstPort {
		k.Src, k.Dst, k.SrcPort, k.DstPort = k.Dst, k.Src, k.DstPort, k.SrcPort
	}
	return k
}

func after(a, b packet.Addr) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] > b[i]
		}
	}
	return false
}

// timeLayouts are the times that tables write out, with the length of what they leave open. Day
// comes before month, as CICFlowMeter writes it. Fractions of a second are read after any of
// them.
var timeLayouts = []struct {
	layout    string
	precision time.Duration
}{
	{time.RFC3339, time.Nanosecond},
	{"2006-01-02 15:04:05Z07:00", time.Nanosecond},
	{"2006-01-02T15:04:05", time.Second},
	{"2006-01-02 15:04:05", time.Second},
	{"2/1/2006 3:04:05 PM", time.Second},
	{"2/1/2006 15:04:05", time.Second},
	{"2/1/2006 3:04 PM", time.Minute},
	{"2/1/2006 15:04", time.Minute},
}

// maxSeconds is the last whole second that fits an int64 of nanoseconds: in 2262.
const maxSeconds = math.MaxInt64/1_000_000_000 - 1

var errTime = errors.New("not a time (Unix seconds, or 2006-01-02T15:04:05Z)")

// parseTime reads Unix seconds, milli-, micro- or nanoseconds (told apart by their size), or a
// written time, which is of the zone given unless it names one itself (nil: UTC). precision is
// how many nanoseconds the text leaves open, at least 1.
func parseTime(text string, zone *time.Location) (nanos, precision int64, err error) {
	if nanos, ok := parseUnix(text); ok {
		return nanos, 1, nil
	}
	if zone == nil {
		zone = time.UTC
	}
	for _, l := range timeLayouts {
		if t, err := time.ParseInLocation(l.layout, text, zone); err == nil {
			precision := int64(l.precision)
			if t.Nanosecond() != 0 {
				precision = 1
			}
			if sec := t.Unix(); sec > maxSeconds || sec < -maxSeconds {
				break
			}
			return t.UnixNano(), precision, nil
		}
	}
	return 0, 0, fmt.Errorf("%q is %w", text, errTime)
}

// parseUnix reads a decimal number of seconds (or smaller units, when it is too large for
// those) without going through float64, which cannot hold nanoseconds of today.
func parseUnix(text string) (nanos int64, ok bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.Trim(fraction, "0123456789") != "" { // such as 1.5e9, or no number
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !(math.Abs(f) <= maxSeconds) {
			return 0, false
		}
		return int64(f * 1e9), true
	}
	unit := int64(1e9)
	switch size := max(n, -n); {
	case size < 0 || size >= 1e17:
		unit = 1
	case size >= 1e14:
		unit = 1e3
	case size >= 1e11:
		unit = 1e6
	}
	if n > math.MaxInt64/unit-1 || n < math.MinInt64/unit+1 {
		return 0, false
	}
	nanos = n * unit
	sign := int64(1)
	if strings.HasPrefix(whole, "-") {
		sign = -1
	}
	for _, digit := range fraction {
		unit /= 10
		nanos += sign * int64(digit-'0') * unit
	}
	return nanos, true
}

// names gives each distinct string a number.
type names struct {
	list  *[]string
	known map[string]int32
}

func newNames(list *[]string) names { return names{list, make(map[string]int32)} }

func (n names) index(name string) int32 {
	i, ok := n.known[name]
	if !ok {
		i = int32(len(*n.list))
		name = strings.Clone(name)
		*n.list = append(*n.list, name)
		n.known[name] = i
	}
	return i
}
