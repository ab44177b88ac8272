package event

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// append writes the events of which there are most, those of labels and flows, without reflection: byte
// for byte what encoding/json makes of a line, in a third of the time. It reports whether it could.
func (w *Writer) append(e *Event) bool {
	if e.Tuple == nil || e.Window != nil || e.Alert != nil || e.Stats != nil || (e.Label == nil) == (e.Flow == nil) {
		return false
	}
	b := append(w.line[:0], `{"timestamp":`...)
	b = w.appendTime(b, Time(e.Nanos))
	b = appendText(append(b, `,"event_type":`...), string(e.Type))
	t := e.Tuple
	b = strconv.AppendUint(append(b, `,"flow_id":`...), t.FlowID, 10)
	b = appendText(append(b, `,"community_id":`...), t.CommunityID)
	b = appendText(append(b, `,"src_ip":`...), t.SrcIP)
	b = strconv.AppendUint(append(b, `,"src_port":`...), uint64(t.SrcPort), 10)
	b = appendText(append(b, `,"dest_ip":`...), t.DestIP)
	b = strconv.AppendUint(append(b, `,"dest_port":`...), uint64(t.DestPort), 10)
	b = appendText(append(b, `,"proto":`...), t.Proto)
	ok := true
	if l := e.Label; l != nil {
		b = appendText(append(b, `,"label":{"app":`...), l.App)
		b, ok = appendNumber(append(b, `,"confidence":`...), l.Confidence)
		b = appendText(append(b, `,"source":`...), l.Source)
		b = strconv.AppendInt(append(b, `,"packets":`...), int64(l.Packets), 10)
		b = strconv.AppendBool(append(b, `,"novel":`...), l.Novel)
		b = appendText(append(b, `,"model":`...), l.Model)
	} else {
		b, ok = w.appendFlow(append(b, `,"flow":`...), e.Flow)
	}
	w.line = append(b, "}}\n"...)
	return ok
}

// appendFlow appends a flow up to its closing bracket.
func (w *Writer) appendFlow(b []byte, f *Flow) (line []byte, ok bool) {
	b = strconv.AppendUint(append(b, `{"pkts_toserver":`...), f.PacketsToServer, 10)
	b = strconv.AppendUint(append(b, `,"pkts_toclient":`...), f.PacketsToClient, 10)
	b = strconv.AppendUint(append(b, `,"bytes_toserver":`...), f.BytesToServer, 10)
	b = strconv.AppendUint(append(b, `,"bytes_toclient":`...), f.BytesToClient, 10)
	b = strconv.AppendUint(append(b, `,"ip_bytes_toserver":`...), f.IPToServer, 10)
	b = strconv.AppendUint(append(b, `,"ip_bytes_toclient":`...), f.IPToClient, 10)
	b = strconv.AppendUint(append(b, `,"payload_bytes_toserver":`...), f.PayloadToServer, 10)
	b = strconv.AppendUint(append(b, `,"payload_bytes_toclient":`...), f.PayloadToClient, 10)
	b = w.appendTime(append(b, `,"start":`...), f.Start)
	b = w.appendTime(append(b, `,"end":`...), f.End)
	b = appendText(append(b, `,"reason":`...), f.Reason)
	if f.App != "" {
		b = appendText(append(b, `,"app":`...), f.App)
	}
	ok = true
	if f.Confidence != nil {
		b, ok = appendNumber(append(b, `,"confidence":`...), *f.Confidence)
	}
	if f.Novel {
		b = append(b, `,"novel":true`...)
	}
	if f.LabelSource != "" {
		b = appendText(append(b, `,"label_source":`...), f.LabelSource)
	}
	if f.LabelPackets != 0 {
		b = strconv.AppendInt(append(b, `,"label_packets":`...), int64(f.LabelPackets), 10)
	}
	if f.Model != "" {
		b = appendText(append(b, `,"model":`...), f.Model)
	}
	return b, ok
}

// appendTime appends a time as Time.append does. Most times lie in the same second as the one before.
func (w *Writer) appendTime(b []byte, t Time) []byte {
	second, nanos := int64(t)/1e9, int64(t)%1e9
	if nanos < 0 {
		second, nanos = second-1, nanos+1e9
	}
	if second != w.second || w.prefix == nil {
		w.second = second
		w.prefix = time.Unix(second, 0).UTC().AppendFormat(w.prefix[:0], `"2006-01-02T15:04:05.`)
	}
	b = append(b, w.prefix...)
	micros := nanos / 1000
	for unit := int64(100_000); unit > 0; unit /= 10 {
		b = append(b, byte('0'+micros/unit%10))
	}
	return append(b, `Z"`...)
}

// appendText appends a string as encoding/json does, with what HTML gives a meaning escaped.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // strings always have a form
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendNumber appends a number as encoding/json does. What has no form in JSON is not ok.
func appendNumber(b []byte, v float64) (line []byte, ok bool) {
	if a := math.Abs(v); v == 0 || a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(b, v, 'f', -1, 64), true
	}
	text, err := json.Marshal(v)
	return append(b, text...), err == nil
}
