package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weirnet/weir/event"
)

// Begin implements Writer.
func (w *DiskWriter) Begin(ctx context.Context, s Source) (Position, error) {
	var at Position
	// What waits for a segment is of one source: a segment names its source.
	if err := w.seal(ctx, func(kind) bool { return true }); err != nil {
		return at, err
	}
	w.source, w.newest, w.done, w.open = 0, noTime, false, openIncident{}
	err := w.tx(ctx, func(tx *sql.Tx) error {
		for _, c := range s.Captures {
			var other string
			err := tx.QueryRowContext(ctx, "SELECT s.name FROM captures c JOIN sources s ON s.id = c.source WHERE c.identity = ?", c.Identity).Scan(&other)
			if err == nil && other != s.Name {
				return fmt.Errorf("%w: %s was read together with others", ErrKnown, c.Name)
			}
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		var settings string
		var events, digest int64
		var newest sql.NullInt64
		err := tx.QueryRowContext(ctx, "SELECT id, settings, events, digest, done, newest FROM sources WHERE name = ?", s.Name).
			Scan(&w.source, &settings, &events, &digest, &at.Done, &newest)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return w.enter(ctx, tx, s)
		case err != nil:
			return err
		case settings != s.Settings:
			return fmt.Errorf("%w, read with %s, not with %s", ErrKnown, settings, s.Settings)
		}
		at.Ordinal, at.Digest = uint64(events), uint64(digest)
		if newest.Valid {
			w.newest = newest.Int64
		}
		return w.restoreIncident(ctx, tx)
	})
	if err != nil {
		w.source = 0
		return Position{}, err
	}
	return at, nil
}

// enter notes a new source.
func (w *DiskWriter) enter(ctx context.Context, tx *sql.Tx, s Source) error {
	result, err := tx.ExecContext(ctx, "INSERT INTO sources (name, settings) VALUES (?, ?)", s.Name, s.Settings)
	if err != nil {
		return err
	}
	if w.source, err = result.LastInsertId(); err != nil {
		return err
	}
	for _, c := range s.Captures {
		_, err := tx.ExecContext(ctx, "INSERT INTO captures (identity, name, source) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", c.Identity, c.Name, w.source)
		if err != nil {
			return err
		}
	}
	return nil
}

// restoreIncident brings back the incident that the next alert of the source may join.
func (w *DiskWriter) restoreIncident(ctx context.Context, tx *sql.Tx) error {
	var o openIncident
	err := tx.QueryRowContext(ctx, "SELECT id, first, last, alerts, peak, peak_alert FROM incidents WHERE source = ? ORDER BY id DESC LIMIT 1", w.source).
		Scan(&o.id, &o.state.First, &o.state.Last, &o.state.Windows, &o.state.Peak, &o.peakAlert)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	o.state.First, o.state.Last = nanos(o.state.First), nanos(o.state.Last)
	w.open = o
	return err
}

// Append implements Writer.
func (w *DiskWriter) Append(ctx context.Context, events []event.Event, at Position) error {
	if w.source == 0 {
		return errors.New("store: Append before Begin")
	}
	for _, k := range kinds {
		if w.pending[k].rows >= maxUnsealed*w.opts.SegmentRows {
			return fmt.Errorf("store %s: %d rows of %s wait and could not be sealed", w.dir, w.pending[k].rows, k)
		}
	}
	a := appending{w: w, ctx: ctx, open: w.open, newest: w.newest}
	for i := range w.rows {
		w.rows[i].reset()
	}
	w.tried.reset()
	// Samples have a database of their own, so they are stored first: a kill in between stores them again, which changes nothing.
	if err := w.keepSamples(ctx, events); err != nil {
		return err
	}
	err := w.tx(ctx, func(tx *sql.Tx) error {
		a.tx = tx
		for i := range events {
			e := &events[i]
			var err error
			switch e.Type {
			case event.TypeFlow:
				row := rowOf(e.Tuple, e.Flow)
				err = a.flow(&row)
			case event.TypeWindow:
				row := windowRowOf(e.Window)
				a.see(e.Nanos)
				err = errors.Join(a.window(&row), a.score(e.Window))
				if e.Window.Shadow != nil && err == nil {
					err = a.try(&Tried{Nanos: int64(e.Window.Start), Window: e.Window})
				}
			case event.TypeShadow:
				err = a.try(&Tried{Nanos: e.Nanos, FlowID: e.Tuple.FlowID, Flow: e.Shadow})
			case event.TypeAlert:
				a.see(e.Nanos)
				err = a.alert(e.Alert)
			case event.TypeSuppressed:
				a.see(e.Nanos)
				err = a.suppressed(e.Alert)
			case event.TypeStats:
				a.see(e.Nanos)
				a.stats = e.Stats
			}
			if err != nil {
				return err
			}
		}
		for i := range kinds {
			if err := a.batch(i); err != nil {
				return err
			}
		}
		if err := a.triedBatch(); err != nil {
			return err
		}
		return a.position(at)
	})
	if err != nil {
		clear(w.models) // ids that the transaction gave are no more
		return err
	}
	w.open, w.newest, w.done = a.open, a.newest, at.Done
	for i, k := range kinds {
		p := w.pending[k]
		if p.rows == 0 {
			p.told = a.told[i]
		}
		p.rows += a.rows[i]
		w.pending[k] = p
	}
	return nil
}

// appending is an Append at work.
type appending struct {
	w      *DiskWriter
	ctx    context.Context
	tx     *sql.Tx
	open   openIncident
	newest int64
	stats  *event.Stats
	rows   [len(kinds)]int64 // stored, by kind
	told   [len(kinds)]int64 // time of the stream when the first of them came, microseconds
}

// see notes the time of a window or of statistics, which packets with a wrong clock do not move.
func (a *appending) see(nanos int64) { a.newest = max(a.newest, micros(nanos)) }

func (a *appending) flow(row *flowRow) error {
	b := &a.w.rows[0]
	b.flow(row)
	if len(b.buf) < fullBatch {
		return nil
	}
	return a.batch(0)
}

func (a *appending) window(row *windowRow) error {
	b := &a.w.rows[1]
	b.window(row)
	if len(b.buf) < fullBatch {
		return nil
	}
	return a.batch(1)
}

// batch stores the rows of a kind, an index into kinds, that have come together.
func (a *appending) batch(i int) error {
	b := &a.w.rows[i]
	if b.rows == 0 {
		return nil
	}
	told := a.newest
	if told == noTime { // the rows are all that is known of the time
		told = b.last
	}
	if a.rows[i] == 0 {
		a.told[i] = told
	}
	a.rows[i] += b.rows
	_, err := a.tx.ExecContext(a.ctx, "INSERT INTO pending (kind, source, count, first, last, told, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
		string(kinds[i]), a.w.source, b.rows, b.first, b.last, told, b.data())
	b.reset()
	return err
}

// model returns the number of a model.
func (a *appending) model(ref string) (int64, error) {
	ref = text(ref)
	if id, ok := a.w.models[ref]; ok {
		return id, nil
	}
	var id int64
	err := a.tx.QueryRowContext(a.ctx, "INSERT INTO models (ref) VALUES (?) ON CONFLICT (ref) DO UPDATE SET ref = ref RETURNING id", ref).Scan(&id)
	if err == nil {
		a.w.models[ref] = id
	}
	return id, err
}

func (a *appending) score(w *event.Window) error {
	model, err := a.model(w.Model)
	if err != nil {
		return err
	}
	_, err = a.tx.ExecContext(a.ctx, `INSERT INTO scores (start, source, length, packets, score, threshold, anomalous, lost, unsure, model)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		micros(int64(w.Start)), a.w.source, w.Length, count(w.Packets), w.Score, w.Threshold, w.Anomalous, count(w.Lost), w.Unsure, model)
	return err
}

// alert stores an alert, in the incident that it joins or begins.
func (a *appending) alert(e *event.Alert) error {
	score := 0.0
	if e.Score != nil {
		score = *e.Score
	}
	start, length := int64(e.Start), time.Duration(e.Length*float64(time.Second))
	o := &a.open
	before := o.state.Peak
	if o.id == 0 || !o.state.Join(start, length, score) {
		*o = openIncident{}
		o.state.Join(start, length, score)
		result, err := a.tx.ExecContext(a.ctx, "INSERT INTO incidents (source, first, last, stop, alerts, peak, peak_alert) VALUES (?, 0, 0, 0, 0, 0, 0)", a.w.source)
		if err != nil {
			return err
		}
		if o.id, err = result.LastInsertId(); err != nil {
			return err
		}
	}
	if o.state.Windows == 1 || score > before {
		o.peakAlert = int64(o.state.Windows)
	}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = a.tx.ExecContext(a.ctx, "UPDATE incidents SET first = ?, last = ?, stop = ?, alerts = ?, peak = ?, peak_alert = ? WHERE id = ?",
		micros(o.state.First), micros(o.state.Last), micros(start+int64(length)), o.state.Windows, o.state.Peak, o.peakAlert, o.id)
	if err != nil {
		return err
	}
	_, err = a.tx.ExecContext(a.ctx, "INSERT INTO alerts (incident, number, start, score, body) VALUES (?, ?, ?, ?, ?)",
		o.id, o.state.Windows, micros(start), score, string(body))
	return err
}

// position stores how far the source is stored now.
func (a *appending) position(at Position) error {
	var newest, stats any
	if a.newest != noTime {
		newest = a.newest
	}
	if a.stats != nil {
		body, err := json.Marshal(a.stats)
		if err != nil {
			return err
		}
		stats = string(body)
	}
	_, err := a.tx.ExecContext(a.ctx, "UPDATE sources SET events = ?, digest = ?, done = ?, newest = ?, stats = coalesce(?, stats) WHERE id = ?",
		count(at.Ordinal), int64(at.Digest), at.Done, newest, stats, a.w.source)
	return err
}
