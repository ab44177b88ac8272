package event

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// appendJSON appends the line of a flow or a label, of which a flood makes millions: the same bytes as
// encoding/json, in a quarter of the time.
func (e *Event) appendJSON(b []byte) []byte {
	b = append(b, `{"timestamp":`...)
	b = Time(e.Nanos).append(b)
	b = append(b, `,"event_type":"`...)
	b = append(b, e.Type...)
	b = append(b, '"')
	b = e.Tuple.append(b)
	if e.Flow != nil {
		b = e.Flow.append(append(b, `,"flow":{`...))
	} else {
		b = e.Label.append(append(b, `,"label":{`...))
	}
	return append(b, "}}\n"...)
}

func (t *Tuple) append(b []byte) []byte {
	b = appendUint(b, `,"flow_id":`, t.FlowID)
	b = appendString(b, `,"community_id":`, t.CommunityID)
	b = appendString(b, `,"src_ip":`, t.SrcIP)
	b = appendUint(b, `,"src_port":`, uint64(t.SrcPort))
	b = appendString(b, `,"dest_ip":`, t.DestIP)
	b = appendUint(b, `,"dest_port":`, uint64(t.DestPort))
	return appendString(b, `,"proto":`, t.Proto)
}

func (f *Flow) append(b []byte) []byte {
	b = appendUint(b, `"pkts_toserver":`, f.PacketsToServer)
	b = appendUint(b, `,"pkts_toclient":`, f.PacketsToClient)
	b = appendUint(b, `,"bytes_toserver":`, f.BytesToServer)
	b = appendUint(b, `,"bytes_toclient":`, f.BytesToClient)
	b = appendUint(b, `,"ip_bytes_toserver":`, f.IPToServer)
	b = appendUint(b, `,"ip_bytes_toclient":`, f.IPToClient)
	b = appendUint(b, `,"payload_bytes_toserver":`, f.PayloadToServer)
	b = appendUint(b, `,"payload_bytes_toclient":`, f.PayloadToClient)
	b = f.Start.append(append(b, `,"start":`...))
	b = f.End.append(append(b, `,"end":`...))
	b = appendString(b, `,"reason":`, f.Reason)
	if f.App != "" {
		b = appendString(b, `,"app":`, f.App)
	}
	if f.Confidence != nil {
		b = appendFloat(b, `,"confidence":`, *f.Confidence)
	}
	if f.Novel {
		b = append(b, `,"novel":true`...)
	}
	return b
}

func (l *Label) append(b []byte) []byte {
	b = appendString(b, `"app":`, l.App)
	b = appendFloat(b, `,"confidence":`, l.Confidence)
	b = appendString(b, `,"source":`, l.Source)
	b = append(b, `,"packets":`...)
	b = strconv.AppendInt(b, int64(l.Packets), 10)
	b = append(b, `,"novel":`...)
	b = strconv.AppendBool(b, l.Novel)
	return appendString(b, `,"model":`, l.Model)
}

func appendUint(b []byte, name string, x uint64) []byte {
	return strconv.AppendUint(append(b, name...), x, 10)
}

// appendString appends a string. Names come from the wire and may end up in a page, so what HTML gives a meaning
// is escaped as well.
func appendString(b []byte, name, s string) []byte {
	b = append(b, name...)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string is no error
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// appendFloat appends a number that is small or has few digits; all others are left to encoding/json.
func appendFloat(b []byte, name string, x float64) []byte {
	b = append(b, name...)
	if a := math.Abs(x); a >= 1e-6 && a < 1e21 || x == 0 {
		return strconv.AppendFloat(b, x, 'f', -1, 64)
	}
	number, _ := json.Marshal(x) // neither infinite nor NaN: see whole
	return append(b, number...)
}

// whole reports whether appendJSON can write the event: a flow or a label and nothing else, without a number that
// JSON does not have.
func (e *Event) whole() bool {
	if e.Tuple == nil || (e.Flow == nil) == (e.Label == nil) || e.Window != nil || e.Alert != nil || e.Stats != nil {
		return false
	}
	x := 0.0
	switch {
	case e.Label != nil:
		x = e.Label.Confidence
	case e.Flow.Confidence != nil:
		x = *e.Flow.Confidence
	}
	return !math.IsInf(x, 0) && !math.IsNaN(x)
}

// append appends the time in quotes.
func (t Time) append(b []byte) []byte {
	at := time.Unix(0, int64(t)).UTC()
	year, month, day := at.Date()
	hour, minute, second := at.Clock()
	micros := at.Nanosecond() / 1000
	return append(b, '"',
		digit(year/1000), digit(year/100), digit(year/10), digit(year), '-',
		digit(int(month)/10), digit(int(month)), '-', digit(day/10), digit(day), 'T',
		digit(hour/10), digit(hour), ':', digit(minute/10), digit(minute), ':', digit(second/10), digit(second), '.',
		digit(micros/100000), digit(micros/10000), digit(micros/1000), digit(micros/100), digit(micros/10), digit(micros), 'Z', '"')
}

func digit(x int) byte { return '0' + byte(x%10) }
