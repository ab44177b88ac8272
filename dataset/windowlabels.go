package dataset

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/flow"
)

// Attack is something in a capture that is not normal.
type Attack struct {
	ID   int    `json:"id"` // 1 and up; 0 is normal traffic
	Name string `json:"name"`
}

// WindowLabels says for each packet of a capture which attack it belongs to. It is used by one
// goroutine. Memory: two bytes per packet, or 96 bytes per labelled flow.
type WindowLabels struct {
	path    string
	attacks []Attack // in order of ID

	// One of these is set.
	perPacket []uint16
	intervals []interval
	flows     *joiner
	flowIDs   []int // attack of each row of flows

	now      interval // the time around the last packet in which its answer holds
	nowKnown bool

	seen    uint64 // packets asked for
	matched uint64 // of these, packets that a row of flows covers
}

// interval is a time in which every packet belongs to an attack; the end is part of it.
type interval struct {
	id         int
	start, end int64
}

// maxPerPacket is the largest number of labelled packets (2 bytes of memory each).
const maxPerPacket = 1 << 30

// ByNumber reports whether packets are labelled by their numbers in the capture, so that it must be read
// whole.
func (l *WindowLabels) ByNumber() bool { return l.perPacket != nil }

// OpenWindowLabels reads labels for windows in any of these forms:
//   - one line per packet, in packet order: "n;0", "n;1" or "n,label", with or without a header,
//     n counting from 0 or 1 without gaps;
//   - one unsigned byte per packet (.u8, also compressed): 0 is normal, n is attack n, named by
//     a file of intervals of the same stem beside it, if there is one;
//   - intervals, a CSV file with the columns start and end in Unix seconds (or written times) and
//     id, attack or both;
//   - labelled flows, as in a Zeek conn log: every packet of the flow's 5-tuple at its time
//     belongs to the attack that detailed-label, or else label, names.
//
// The labels 0, benign, normal, background, false, none and nothing at all are normal traffic.
// zone is that of written times which name none; nil is UTC.
func OpenWindowLabels(path string, zone *time.Location) (*WindowLabels, error) {
	f, err := openData(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if strings.HasSuffix(uncompressed(path), ".u8") {
		l, err := parseByteLabels(path, f)
		if err == nil {
			err = l.nameFromIntervals(path, zone)
		}
		return l, err
	}
	return parseWindowLabels(path, f, zone)
}

// parseWindowLabels tells the forms of text apart by their first line.
func parseWindowLabels(name string, r io.Reader, zone *time.Location) (*WindowLabels, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, _ := b.Peek(4 << 10)
	first, _, _ := strings.Cut(strings.TrimLeft(strings.TrimPrefix(string(head), "\xef\xbb\xbf"), "\r\n"), "\n")
	first = strings.ToLower(first)
	if strings.HasPrefix(first, "#") {
		return parseFlowLabels(name, b, zone)
	}
	has := func(names ...string) bool {
		for _, column := range strings.Split(first, separator(first)) {
			if slices.Contains(names, plain(column)) {
				return true
			}
		}
		return false
	}
	switch {
	case has("dst", "dstip", "destip", "destinationip", "idresph", "daddr", "dstaddr", "destination", "destinationaddress"):
		return parseFlowLabels(name, b, zone)
	case has("start", "starttime") && has("end", "endtime"):
		return parseIntervals(name, b, zone)
	}
	return parsePacketList(name, b)
}

func parseByteLabels(name string, r io.Reader) (*WindowLabels, error) {
	l := &WindowLabels{path: name, perPacket: []uint16{}}
	var known [256]bool
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		for _, id := range buf[:n] {
			known[id] = true
			l.perPacket = append(l.perPacket, uint16(id))
		}
		if len(l.perPacket) > maxPerPacket {
			return nil, fmt.Errorf("%s: more than %d labels", name, maxPerPacket)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: after %d labels: %w", name, len(l.perPacket), err)
		}
	}
	for id := 1; id < len(known); id++ {
		if known[id] {
			l.attacks = append(l.attacks, Attack{id, strconv.Itoa(id)})
		}
	}
	return l, nil
}

// nameFromIntervals gives the attacks of mixed.labels.u8.gz the names in mixed.intervals.csv.
func (l *WindowLabels) nameFromIntervals(path string, zone *time.Location) error {
	stem := strings.TrimSuffix(uncompressed(path), ".u8")
	for _, beside := range []string{strings.TrimSuffix(stem, ".labels") + ".intervals.csv", stem + ".intervals.csv"} {
		f, err := os.Open(beside)
		if err != nil {
			continue
		}
		defer f.Close()
		named, err := parseIntervals(beside, f, zone)
		if err != nil {
			return err
		}
		for i, a := range l.attacks {
			if name := named.Name(a.ID); name != "" {
				l.attacks[i].Name = name
			}
		}
		return nil
	}
	return nil
}

func parsePacketList(name string, r io.Reader) (*WindowLabels, error) {
	l := &WindowLabels{path: name, perPacket: []uint16{}}
	ids := newAttackIDs()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	line, next := 0, uint64(0)
	for lines.Scan() {
		line++
		text := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\xef\xbb\xbf"))
		if text == "" {
			continue
		}
		sep := strings.IndexAny(text, ";,\t")
		if sep < 0 {
			return nil, fmt.Errorf("%s line %d: %q is not \"n;0\", \"n;1\" or \"n,label\"", name, line, short(text))
		}
		n, err := strconv.ParseUint(strings.TrimSpace(text[:sep]), 10, 64)
		if err != nil {
			if len(l.perPacket) == 0 && line == 1 {
				continue // a header
			}
			return nil, fmt.Errorf("%s line %d: %q is not a packet number", name, line, short(text[:sep]))
		}
		if len(l.perPacket) == 0 && n <= 1 {
			next = n
		}
		if n != next {
			return nil, fmt.Errorf("%s line %d: packet %d where packet %d is due: there must be one label per packet, in order", name, line, n, next)
		}
		next++
		id, err := ids.of(strings.Trim(clean(text[sep+1:]), `"`))
		if err != nil {
			return nil, fmt.Errorf("%s line %d: %w", name, line, err)
		}
		if len(l.perPacket) >= maxPerPacket {
			return nil, fmt.Errorf("%s: more than %d labels", name, maxPerPacket)
		}
		l.perPacket = append(l.perPacket, uint16(id))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s line %d: %w", name, line+1, err)
	}
	if len(l.perPacket) == 0 {
		return nil, fmt.Errorf("%s: holds no labels", name)
	}
	l.attacks = ids.attacks()
	return l, nil
}

func parseIntervals(name string, r io.Reader, zone *time.Location) (*WindowLabels, error) {
	t, err := newTable(name, r)
	if err != nil {
		return nil, err
	}
	startAt, endAt := t.column("start", "start_time"), t.column("end", "end_time")
	idAt, nameAt := t.column("id"), t.column("attack", "name", "label")
	if startAt < 0 || endAt < 0 || idAt < 0 && nameAt < 0 {
		return nil, fmt.Errorf("%s: intervals need the columns start, end and id or attack; it has %s", name, strings.Join(t.columns, ", "))
	}
	l := &WindowLabels{path: name, intervals: []interval{}}
	ids := newAttackIDs()
	for {
		fields, line, err := t.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		bad := func(err error) error { return fmt.Errorf("%s line %d: %w", name, line, err) }
		start, _, err := parseTime(t.field(fields, startAt), zone)
		if err != nil {
			return nil, bad(err)
		}
		end, precision, err := parseTime(t.field(fields, endAt), zone)
		if err != nil {
			return nil, bad(err)
		}
		if end < start {
			return nil, bad(fmt.Errorf("ends at %s before it starts at %s", t.field(fields, endAt), t.field(fields, startAt)))
		}
		var id int
		attack := t.field(fields, nameAt)
		if text := t.field(fields, idAt); text != "" {
			if id, err = strconv.Atoi(text); err != nil || id < 0 || id > math.MaxUint16 {
				return nil, bad(fmt.Errorf("%q is not the number of an attack", short(text)))
			}
			if err := ids.name(id, attack); err != nil {
				return nil, bad(err)
			}
		} else if id, err = ids.of(attack); err != nil {
			return nil, bad(err)
		}
		if id != 0 {
			l.intervals = append(l.intervals, interval{id, start, addNanos(end, float64(precision-1))})
		}
	}
	l.attacks = ids.attacks()
	return l, nil
}

func parseFlowLabels(name string, r io.Reader, zone *time.Location) (*WindowLabels, error) {
	ft, err := parseFlowTable(name, r, flowTableOptions{zone: zone, attacks: true})
	if err != nil {
		return nil, err
	}
	if ft.badCount > 0 {
		return nil, fmt.Errorf("%s line %d: %w", name, ft.bad[0].Line, ft.bad[0].Err)
	}
	l := &WindowLabels{path: name, flows: newJoiner(ft.rows)}
	ids := newAttackIDs()
	byLabel := make([]int, len(ft.labels))
	for i, label := range ft.labels {
		if byLabel[i], err = ids.of(label); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	l.flowIDs = make([]int, len(ft.rows))
	for i := range ft.rows {
		l.flowIDs[i] = byLabel[ft.rows[i].label]
	}
	l.attacks = ids.attacks()
	return l, nil
}

// Attack returns the ID of the attack that a packet belongs to, 0 for normal traffic. n counts
// the packets of the stream from 0, packets without IP included; nanos is the packet's time, and
// key its 5-tuple in either direction (the zero Key for packets that have none).
func (l *WindowLabels) Attack(n uint64, nanos int64, key flow.Key) int {
	l.seen++
	switch {
	case l.perPacket != nil:
		if n < uint64(len(l.perPacket)) {
			return int(l.perPacket[n])
		}
	case l.flows != nil:
		if row, ok := l.flows.at(key, nanos); ok {
			l.matched++
			return l.flowIDs[row]
		}
	default:
		return l.during(nanos)
	}
	return 0
}

// during returns the attack of the first interval that covers a time. The answer holds until
// the next border of an interval, and is kept as long.
func (l *WindowLabels) during(nanos int64) int {
	if now := l.now; l.nowKnown && nanos >= now.start && nanos <= now.end {
		return now.id
	}
	l.now, l.nowKnown = interval{0, math.MinInt64, math.MaxInt64}, true
	for _, in := range l.intervals {
		switch {
		case nanos < in.start:
			l.now.end = min(l.now.end, in.start-1)
		case nanos > in.end:
			l.now.start = max(l.now.start, in.end+1)
		default:
			l.now.start, l.now.end = max(l.now.start, in.start), min(l.now.end, in.end)
			if l.now.id == 0 {
				l.now.id = in.id
			}
		}
	}
	return l.now.id
}

// Finish tells whether the labels fit the capture: it is called once, after Attack was called for
// all packets of it.
func (l *WindowLabels) Finish() error {
	switch {
	case l.perPacket != nil && uint64(len(l.perPacket)) != l.seen:
		return fmt.Errorf("%s: %d labels for %d packets: they are not of this capture", l.path, len(l.perPacket), l.seen)
	case l.flows != nil && l.seen > 0 && l.matched == 0:
		return fmt.Errorf("%s: no packet belongs to any of the %d labelled flows: they are not of this capture, or their times are of another zone", l.path, len(l.flowIDs))
	}
	return nil
}

// Coverage returns how many packets Attack was called for and, for labelled flows, how many of
// them a flow covers (the others count as normal); for the other forms all are covered.
func (l *WindowLabels) Coverage() (packets, covered uint64) {
	if l.flows == nil {
		return l.seen, l.seen
	}
	return l.seen, l.matched
}

// Attacks returns the attacks that the labels know, in order of ID.
func (l *WindowLabels) Attacks() []Attack { return l.attacks }

// Name returns the name of an attack, nothing for normal traffic.
func (l *WindowLabels) Name(id int) string {
	for _, a := range l.attacks {
		if a.ID == id {
			return a.Name
		}
	}
	return ""
}

// attackIDs numbers the labels of attacks: a number keeps its value, a name gets the next free
// one.
type attackIDs struct {
	byLabel map[string]int
	byID    map[int]string
	next    int
}

func newAttackIDs() *attackIDs {
	return &attackIDs{byLabel: make(map[string]int), byID: make(map[int]string), next: 1}
}

// isNormal tells the labels of normal traffic.
func isNormal(label string) bool {
	return slices.Contains([]string{"", "0", "-", "benign", "normal", "background", "false", "none", "no"}, strings.ToLower(label))
}

func (a *attackIDs) of(label string) (int, error) {
	if id, ok := a.byLabel[label]; ok {
		return id, nil
	}
	id := 0
	if !isNormal(label) {
		number, err := strconv.Atoi(label)
		switch {
		case err == nil && (number < 0 || number > math.MaxUint16):
			return 0, fmt.Errorf("%q is not the number of an attack (0 to %d)", short(label), math.MaxUint16)
		case err == nil:
			id = number
		default:
			for a.byID[a.next] != "" {
				a.next++
			}
			if id = a.next; id > math.MaxUint16 {
				return 0, fmt.Errorf("more than %d different attacks", math.MaxUint16)
			}
		}
	}
	label = strings.Clone(label)
	a.byLabel[label] = id
	if id != 0 {
		a.byID[id] = label
	}
	return id, nil
}

// name says what a numbered attack is called.
func (a *attackIDs) name(id int, name string) error {
	switch known := a.byID[id]; {
	case id == 0:
		return nil
	case name == "":
		name = strconv.Itoa(id)
	case known != "" && known != name:
		return fmt.Errorf("attack %d is %q here and %q above", id, short(name), short(known))
	}
	a.byID[id] = name
	return nil
}

func (a *attackIDs) attacks() []Attack {
	var list []Attack
	for id, name := range a.byID {
		list = append(list, Attack{id, name})
	}
	slices.SortFunc(list, func(x, y Attack) int { return x.ID - y.ID })
	return list
}

// short cuts what an error message quotes.
func short(text string) string {
	if len(text) > 60 {
		return text[:60] + "…"
	}
	return text
}
