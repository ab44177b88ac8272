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
type totals map[key]*Total

func (t totals) add(k key, o *Total) {
	sum := t[k]
	if sum == nil {
		sum = &Total{Name: k.name, Novel: k.novel}
		t[k] = sum
	}
	sum.Add(o)
}

// top returns the sums with most bytes, and the rest of them as one.
func (t totals) top(limit int) (most []Total, rest Total) {
	for _, sum := range t {
		most = append(most, *sum)
	}
	slices.SortFunc(most, func(a, b Total) int {
		novel := func(t Total) int {
			if t.Novel {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name), cmp.Compare(novel(a), novel(b)))
	})
	if limit > 0 && len(most) > limit {
		for i := range most[limit:] {
			rest.Add(&most[limit+i])
		}
		most = slices.Delete(most, limit, len(most))
	}
	return most, rest
}

// sums are the traffic of a span of time by every dimension.
type sums map[Dimension]totals

func newSums() sums { return sums{Apps: {}, Hosts: {}, Ports: {}} }

// add adds a flow.
func (s sums) add(r *flowRow) {
	for d := range s {
		s.addBy(d, r)
	}
}

func (s sums) addBy(d Dimension, r *flowRow) {
	one := Total{
		Flows: 1, Packets: uint64(r.PacketsToServer) + uint64(r.PacketsToClient),
		Bytes: uint64(r.BytesToServer) + uint64(r.BytesToClient), Payload: uint64(r.PayloadToServer) + uint64(r.PayloadToClient),
	}
	switch d {
	case Apps:
		s[d].add(key{r.App, r.Novel}, &one)
	case Hosts:
		s[d].add(key{name: r.SrcIP}, &one)
		if r.DestIP != r.SrcIP {
			s[d].add(key{name: r.DestIP}, &one)
		}
	case Ports:
		if name := portName(r.DestPort, r.Proto); name != "" {
			s[d].add(key{name: name}, &one)
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
	keep := func(s sums, span, time int64, limit int) {
		for _, by := range []Dimension{Apps, Hosts, Ports} {
			if len(s[by]) == 0 {
				continue
			}
			r := rollup{by: by, span: span, time: time}
			if by == Apps {
				r.totals, r.rest = s[by].top(0)
			} else {
				r.totals, r.rest = s[by].top(limit)
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
		for by, t := range inMinute {
			for k, sum := range t {
				inHour[by].add(k, sum)
			}
			clear(t)
		}
		if at = floor(at, microsPerHour); last || floor(rows[i+1].End, microsPerHour) != at {
			keep(inHour, hour, at, HourTop)
			for _, t := range inHour {
				clear(t)
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
