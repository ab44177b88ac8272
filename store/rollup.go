package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// The spans of roll-ups, in seconds.
const (
	minute = 60
	hour   = 3600
)

const microsPerMinute = minute * 1e6

// rollup is the sums of one minute or hour by one dimension.
type rollup struct {
	by     Dimension
	span   int64 // seconds
	time   int64 // start, microseconds
	totals []Total
	rest   Total
}

// key is what totals are summed by.
type key struct {
	name  string
	novel bool
}

// totals are sums by name.
type totals struct {
	places map[key]int32 // in all
	all    []Total
}

func newTotals() *totals { return &totals{places: map[key]int32{}} }

func (t *totals) add(k key, o *Total) {
	i, ok := t.places[k]
	if !ok {
		i = int32(len(t.all))
		t.all = append(t.all, Total{Name: k.name, Novel: k.novel})
		t.places[k] = i
	}
	t.all[i].Add(o)
}

func (t *totals) clear() {
	clear(t.places)
	clear(t.all)
	t.all = t.all[:0]
}

// top returns the sums with most bytes, and the rest of them as one.
func (t *totals) top(limit int) (most []Total, rest Total) {
	order := make([]*Total, len(t.all)) // to sort them is to move 8 bytes, not 56
	for i := range t.all {
		order[i] = &t.all[i]
	}
	slices.SortFunc(order, func(a, b *Total) int {
		if a.Bytes != b.Bytes {
			return cmp.Compare(b.Bytes, a.Bytes)
		}
		if a.Name == b.Name && a.Novel {
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	if limit <= 0 || limit > len(order) {
		limit = len(order)
	}
	for _, sum := range order[:limit] {
		most = append(most, *sum)
	}
	for _, sum := range order[limit:] {
		rest.Add(sum)
	}
	return most, rest
}

// sums are the traffic of a span of time by every dimension.
type sums struct {
	by    [3]*totals // in the order of dimensions
	names map[portKey]string
}

// dimensions are all of them.
var dimensions = [...]Dimension{Apps, Hosts, Ports}

// portKey is a port before it has a name, which takes memory.
type portKey struct {
	port  int32
	proto string
}

func newSums() *sums {
	return &sums{by: [...]*totals{newTotals(), newTotals(), newTotals()}, names: map[portKey]string{}}
}

// add adds a flow.
func (s *sums) add(r *flowRow) {
	for i := range dimensions {
		s.addBy(i, r)
	}
}

// addBy adds a flow by one dimension, an index into dimensions.
func (s *sums) addBy(i int, r *flowRow) {
	one := Total{
		Flows: 1, Packets: uint64(r.PacketsToServer) + uint64(r.PacketsToClient),
		Bytes: uint64(r.BytesToServer) + uint64(r.BytesToClient), Payload: uint64(r.PayloadToServer) + uint64(r.PayloadToClient),
	}
	switch t := s.by[i]; dimensions[i] {
	case Apps:
		t.add(key{r.App, r.Novel}, &one)
	case Hosts:
		t.add(key{name: r.SrcIP}, &one)
		if r.DestIP != r.SrcIP {
			t.add(key{name: r.DestIP}, &one)
		}
	case Ports:
		k := portKey{r.DestPort, r.Proto}
		name, ok := s.names[k]
		if !ok {
			if len(s.names) > 1<<16 { // a scan of all ports, over all protocols
				clear(s.names)
			}
			name = portName(r.DestPort, r.Proto)
			s.names[k] = name
		}
		if name != "" {
			t.add(key{name: name}, &one)
		}
	}
}

// portName names a port as /etc/services does; protocols without ports have none.
func portName(port int32, proto string) string {
	switch proto {
	case "TCP":
		return strconv.Itoa(int(port)) + "/tcp"
	case "UDP":
		return strconv.Itoa(int(port)) + "/udp"
	case "SCTP":
		return strconv.Itoa(int(port)) + "/sctp"
	}
	return ""
}

// rollUp sums rows, which are in order of their end, by minute and by hour.
func rollUp(rows []flowRow) []rollup {
	var all []rollup
	keep := func(s *sums, span, time int64, limit int) {
		for i, by := range dimensions {
			if len(s.by[i].all) == 0 {
				continue
			}
			r := rollup{by: by, span: span, time: time}
			if by == Apps {
				r.totals, r.rest = s.by[i].top(0)
			} else {
				r.totals, r.rest = s.by[i].top(limit)
			}
			all = append(all, r)
		}
	}
	inHour, inMinute := newSums(), newSums()
	for i := range rows {
		inMinute.add(&rows[i])
		at := floor(rows[i].End, microsPerMinute)
		last := i == len(rows)-1
		if !last && floor(rows[i+1].End, microsPerMinute) == at {
			continue
		}
		keep(inMinute, minute, at, MinuteTop)
		for i, t := range inMinute.by {
			for k := range t.all {
				inHour.by[i].add(key{t.all[k].Name, t.all[k].Novel}, &t.all[k])
			}
			t.clear()
		}
		if at = floor(at, microsPerHour); last || floor(rows[i+1].End, microsPerHour) != at {
			keep(inHour, hour, at, HourTop)
			for _, t := range inHour.by {
				t.clear()
			}
		}
	}
	return all
}

// encode returns the JSON of the totals: a row for each, [name, novel, flows, packets, bytes,
// payload], and one without a name for the rest when there is one.
func (r *rollup) encode() []byte {
	buf := append(make([]byte, 0, 64*(len(r.totals)+1)), '[')
	row := func(name []byte, t *Total) {
		if len(buf) > 1 {
			buf = append(buf, ',')
		}
		buf = append(append(buf, '['), name...)
		novel := uint64(0)
		if t.Novel {
			novel = 1
		}
		for _, n := range [...]uint64{novel, t.Flows, t.Packets, t.Bytes, t.Payload} {
			buf = strconv.AppendUint(append(buf, ','), n, 10)
		}
		buf = append(buf, ']')
	}
	for i := range r.totals {
		name, err := json.Marshal(r.totals[i].Name)
		if err != nil {
			panic(err) // strings always marshal
		}
		row(name, &r.totals[i])
	}
	if r.rest.Flows > 0 {
		row([]byte("null"), &r.rest)
	}
	return append(buf, ']')
}

var errTotals = errors.New("damaged roll-up")

// decodeTotals gives each row of what encode has written to add; named is false for the rest. It is
// some ten times as fast as encoding/json, which a question about a day would wait for.
func decodeTotals(text string, add func(t *Total, named bool)) error {
	text, ok := strings.CutPrefix(text, "[")
	for ok && text != "]" {
		var t Total
		var named bool
		if text, ok = strings.CutPrefix(text, "["); !ok {
			break
		}
		if rest, null := strings.CutPrefix(text, "null"); null {
			text = rest
		} else if t.Name, text, ok = cutString(text); !ok {
			break
		} else {
			named = true
		}
		var novel uint64
		for _, n := range [...]*uint64{&novel, &t.Flows, &t.Packets, &t.Bytes, &t.Payload} {
			if text, ok = strings.CutPrefix(text, ","); !ok {
				break
			}
			digits := 0
			for digits < len(text) && '0' <= text[digits] && text[digits] <= '9' {
				digits++
			}
			var err error
			if *n, err = strconv.ParseUint(text[:digits], 10, 64); err != nil {
				return errTotals
			}
			text = text[digits:]
		}
		if !ok {
			break
		}
		t.Novel = novel == 1
		if text, ok = strings.CutPrefix(text, "]"); !ok {
			break
		}
		add(&t, named)
		if rest, more := strings.CutPrefix(text, ","); more && rest != "]" {
			text = rest
		} else if text != "]" {
			break
		}
	}
	if !ok || text != "]" {
		return errTotals
	}
	return nil
}

// cutString takes a JSON string off the front of text.
func cutString(text string) (s, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", false
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			quoted := text[:i+1]
			if !strings.Contains(quoted, `\`) {
				return quoted[1:i], text[i+1:], true
			}
			err := json.Unmarshal([]byte(quoted), &s)
			return s, text[i+1:], err == nil
		}
	}
	return "", "", false
}
