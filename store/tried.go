package store

import (
	"context"
	"database/sql"
	"iter"
	"math"

	"github.com/weirnet/weir/event"
)

// Tried is what a model on trial said beside the one in use: of a flow or of a window. One of both is there.
type Tried struct {
	Nanos  int64         // when the flow was decided, or the start of the window
	FlowID uint64        // of a flow
	Flow   *event.Shadow // a flow
	Window *event.Window // a window: its Shadow is there, its Vector is not
}

// triedSchema is what layout 3 has beside layout 2.
const triedSchema = `
-- What models on trial said, a batch for each Append.
CREATE TABLE IF NOT EXISTS tried (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	source INTEGER NOT NULL,
	count  INTEGER NOT NULL,             -- rows
	first  INTEGER NOT NULL,             -- lowest and highest time of a row
	last   INTEGER NOT NULL,
	data   BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS tried_last ON tried (last);
`

// triedLayout is the layout that first had what models on trial said.
const triedLayout = 3

// tried writes a row, after a byte that says what it is of.
func (w *batchWriter) tried(t *Tried) {
	w.at(micros(t.Nanos))
	w.bool(t.Window != nil)
	if f := t.Flow; f != nil {
		w.uint(count(t.FlowID))
		w.shared(text(f.LiveModel))
		w.shared(text(f.LiveApp))
		w.bool(f.LiveNovel)
		w.shared(text(f.Model))
		w.shared(text(f.App))
		w.bool(f.Novel)
		w.float(f.Confidence)
		w.shared(f.Source)
		w.uint(int64(f.Packets))
		return
	}
	score := func(s *float64) {
		if s == nil {
			w.float(math.NaN())
		} else {
			w.float(*s)
		}
	}
	o := t.Window
	w.float(o.Length)
	w.uint(count(o.Packets))
	w.uint(count(o.Lost))
	w.bool(o.Unsure)
	w.shared(text(o.Model))
	score(o.Score)
	w.float(o.Threshold)
	w.bool(o.Anomalous)
	w.shared(text(o.Shadow.Model))
	score(o.Shadow.Score)
	w.float(o.Shadow.Threshold)
	w.bool(o.Shadow.Anomalous)
}

func (r *batchReader) tried(t *Tried) {
	*t = Tried{Nanos: nanos(r.at())}
	if !r.bool() {
		f := new(event.Shadow)
		t.FlowID, t.Flow = uint64(r.uint()), f
		f.LiveModel = r.shared()
		f.LiveApp = r.shared()
		f.LiveNovel = r.bool()
		f.Model = r.shared()
		f.App = r.shared()
		f.Novel = r.bool()
		f.Confidence = r.float()
		f.Source = r.shared()
		f.Packets = int(r.uint())
		f.Agrees = f.App == f.LiveApp && f.Novel == f.LiveNovel
		return
	}
	score := func() *float64 {
		if s := r.float(); !math.IsNaN(s) {
			return &s
		}
		return nil
	}
	s := new(event.ShadowScore)
	w := &event.Window{Start: event.Time(t.Nanos), Shadow: s}
	t.Window = w
	w.Length = r.float()
	w.Packets = uint64(r.uint())
	w.Lost = uint64(r.uint())
	w.Unsure = r.bool()
	w.Model = r.shared()
	w.Score = score()
	w.Threshold = r.float()
	w.Anomalous = r.bool()
	s.Model = r.shared()
	s.Score = score()
	s.Threshold = r.float()
	s.Anomalous = r.bool()
}

// try adds what a model on trial said to the batch.
func (a *appending) try(t *Tried) error {
	b := &a.w.tried
	b.tried(t)
	if len(b.buf) < fullBatch {
		return nil
	}
	return a.triedBatch()
}

// triedBatch stores what models on trial said.
func (a *appending) triedBatch() error {
	b := &a.w.tried
	if b.rows == 0 {
		return nil
	}
	_, err := a.tx.ExecContext(a.ctx, "INSERT INTO tried (source, count, first, last, data) VALUES (?, ?, ?, ?, ?)", a.w.source, b.rows, b.first, b.last, b.data())
	b.reset()
	return err
}

// Tried implements Reader.
func (d *Disk) Tried(ctx context.Context, when Range) iter.Seq2[*Tried, error] {
	return func(yield func(*Tried, error) bool) {
		since, until := when.micros()
		for after := int64(0); ; {
			var data []byte
			err := d.view(ctx, func(tx *sql.Tx) error {
				if none, err := before(ctx, tx, triedLayout); none || err != nil {
					return err
				}
				rows, err := tx.QueryContext(ctx, "SELECT id, data FROM tried WHERE id > ? AND last >= ? AND first < ? ORDER BY id LIMIT 1", after, since, until)
				return each(rows, err, func(rows *sql.Rows) error { return rows.Scan(&after, &data) })
			})
			if err != nil {
				yield(nil, err)
				return
			}
			if data == nil {
				return
			}
			r, err := newBatchReader(data)
			for err == nil && r.more() {
				var t Tried
				if r.tried(&t); r.bad {
					break
				}
				if when.Contains(t.Nanos) && !yield(&t, nil) {
					return
				}
			}
			if err == nil {
				err = r.err()
			}
			if err != nil && !yield(nil, d.damaged(err)) { // the other batches go on
				return
			}
		}
	}
}
