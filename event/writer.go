package event

import (
	"bufio"
	"encoding/json"
	"io"
)

// Writer writes events as JSON lines. Used by one goroutine.
type Writer struct {
	out    *bufio.Writer
	enc    *json.Encoder
	line   []byte // of append, reused
	second int64  // that prefix shows
	prefix []byte
	err    error
}

// NewWriter returns a Writer onto w. Flush must be called at the end.
func NewWriter(w io.Writer) *Writer {
	out := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(true) // names from the wire may end up in a page
	return &Writer{out: out, enc: enc}
}

// line is the order of fields on the wire.
type line struct {
	Timestamp Time `json:"timestamp"`
	Type      Type `json:"event_type"`
	*Tuple
	Label  *Label  `json:"label,omitempty"`
	Flow   *Flow   `json:"flow,omitempty"`
	Window *Window `json:"window,omitempty"`
	Alert  *Alert  `json:"alert,omitempty"`
	Stats  *Stats  `json:"stats,omitempty"`

	Suppressed *Alert  `json:"suppressed,omitempty"`
	Shadow     *Shadow `json:"shadow,omitempty"`
}

// Write appends one event. After the first error it does nothing and returns that error.
func (w *Writer) Write(e *Event) error {
	if w.err != nil {
		return w.err
	}
	if w.append(e) {
		_, w.err = w.out.Write(w.line)
		return w.err
	}
	l := line{Timestamp: Time(e.Nanos), Type: e.Type, Tuple: e.Tuple, Label: e.Label, Flow: e.Flow, Window: e.Window, Alert: e.Alert, Stats: e.Stats, Shadow: e.Shadow}
	if e.Type == TypeSuppressed {
		l.Alert, l.Suppressed = nil, e.Alert
	}
	w.err = w.enc.Encode(l)
	return w.err
}

// Flush writes what is buffered.
func (w *Writer) Flush() error {
	if w.err != nil {
		return w.err
	}
	w.err = w.out.Flush()
	return w.err
}
