package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

const (
	microsPerHour = int64(time.Hour / time.Microsecond)
	microsPerDay  = 24 * microsPerHour
)

// segmentSuffix ends the names of segments.
const segmentSuffix = ".parquet"

// Maintain implements Writer.
func (w *DiskWriter) Maintain(ctx context.Context, p Policy) (Removed, error) {
	sealed := w.sealed
	if err := w.seal(ctx, w.due); err != nil {
		return Removed{}, err
	}
	gone, err := w.retainSamples(ctx, p)
	if err != nil {
		return gone, err
	}
	// Little grows between segments, and little grows old within an hour.
	hour := floor(micros(p.Now), microsPerHour)
	if sealed == w.sealed && w.retained == hour {
		return gone, nil
	}
	removed, err := w.retain(ctx, p)
	removed.add(gone)
	if err == nil {
		w.retained = hour
	}
	return removed, err
}

// due reports whether the rows that wait should become a segment: there are enough of them, or their
// hour is over and they are worth a file, or their day is over, or the source has ended.
func (w *DiskWriter) due(k kind) bool {
	p := w.pending[k]
	if p.rows == 0 || p.rows < w.opts.SegmentRows && !w.done && w.newest == noTime {
		return false
	}
	hour := floor(w.newest, microsPerHour) > floor(p.told, microsPerHour)
	day := floor(w.newest, microsPerDay) > floor(p.told, microsPerDay)
	return p.rows >= w.opts.SegmentRows || hour && p.rows >= w.opts.SparseRows || day || w.done
}

// floor rounds a time down to a multiple of unit.
func floor(t, unit int64) int64 {
	if rest := t % unit; rest < 0 {
		return t - rest - unit
	} else {
		return t - rest
	}
}

// seal makes segments of the rows that wait, of the kinds that are due.
func (w *DiskWriter) seal(ctx context.Context, due func(kind) bool) error {
	for _, k := range kinds {
		if w.pending[k].rows > 0 && due(k) {
			if err := w.sealKind(ctx, k); err != nil {
				return err
			}
		}
	}
	return nil
}

// waiting is the rows of a kind that wait.
type waiting[T any] struct {
	upTo   int64 // highest id of a batch
	source int64
	name   string // of the source
	rows   []T
}

// read reads the rows of a kind that wait, which should be so many.
func (b *waiting[T]) read(ctx context.Context, w *DiskWriter, k kind, row func(*batchReader, *T)) error {
	b.rows = make([]T, 0, w.pending[k].rows)
	rows, err := w.write.QueryContext(ctx, "SELECT p.id, p.source, s.name, p.data FROM pending p JOIN sources s ON s.id = p.source WHERE p.kind = ? ORDER BY p.id", string(k))
	err = each(rows, err, func(rows *sql.Rows) error {
		var data sql.RawBytes
		if err := rows.Scan(&b.upTo, &b.source, &b.name, &data); err != nil {
			return err
		}
		r, err := newBatchReader(data)
		if err != nil {
			return err
		}
		for r.more() {
			var one T
			b.rows = append(b.rows, one)
			row(r, &b.rows[len(b.rows)-1])
		}
		return r.err()
	})
	if err == nil && len(b.rows) == 0 {
		err = errBatch
	}
	return w.damaged(err)
}

// sealKind makes a segment of the rows that wait. The file is whole before the manifest names it; the
// transaction that names it takes the rows out of the database, so that they are in one place at
// any time. A kill in between leaves a file that is not named, which sweep removes.
func (w *DiskWriter) sealKind(ctx context.Context, k kind) error {
	switch k {
	case flowKind:
		var b waiting[flowRow]
		if err := b.read(ctx, w, k, (*batchReader).flow); err != nil {
			return err
		}
		slices.SortStableFunc(b.rows, func(a, b flowRow) int { return cmp.Compare(a.End, b.End) })
		s := sealing{k, b.upTo, b.source, int64(len(b.rows)), b.rows[0].End, b.rows[len(b.rows)-1].End}
		return w.sealAs(ctx, s, rollUp(b.rows), func(out io.Writer) error { return writeFlows(out, b.rows, b.name) })
	default:
		var b waiting[windowRow]
		if err := b.read(ctx, w, k, (*batchReader).window); err != nil {
			return err
		}
		slices.SortStableFunc(b.rows, func(a, b windowRow) int { return cmp.Compare(a.Start, b.Start) })
		s := sealing{k, b.upTo, b.source, int64(len(b.rows)), b.rows[0].Start, b.rows[len(b.rows)-1].Start}
		return w.sealAs(ctx, s, nil, func(out io.Writer) error { return writeWindows(out, b.rows, b.name) })
	}
}

// sealing is a segment in the making.
type sealing struct {
	kind              kind
	upTo              int64 // highest id of the batches whose rows it has
	source            int64
	rows, first, last int64
}

func (w *DiskWriter) sealAs(ctx context.Context, b sealing, sums []rollup, write func(io.Writer) error) error {
	var id int64
	err := w.write.QueryRowContext(ctx, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'segments'), 0) + 1").Scan(&id)
	if err != nil {
		return w.damaged(err)
	}
	file := fmt.Sprintf("%s/%s-%06d%s", b.kind, time.UnixMicro(b.last).UTC().Format("20060102T15"), id, segmentSuffix)
	made, err := create(w.path(file), write)
	if err != nil {
		return w.failed(err)
	}
	err = w.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO segments (id, kind, file, source, count, bytes, crc, first, last) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			id, string(b.kind), file, b.source, b.rows, made.bytes, made.crc, b.first, b.last)
		if err != nil {
			return err
		}
		for i := range sums {
			s := &sums[i]
			_, err := tx.ExecContext(ctx, "INSERT INTO rollups (dimension, span, time, segment, totals) VALUES (?, ?, ?, ?, ?)",
				string(s.by), s.span, s.time, id, string(s.encode()))
			if err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM pending WHERE kind = ? AND id <= ?", string(b.kind), b.upTo)
		return err
	})
	if err != nil {
		return errors.Join(err, os.Remove(w.path(file)))
	}
	w.pending[b.kind] = pendingState{}
	w.sealed++
	return nil
}

// retain removes what the policy says, the oldest first.
func (w *DiskWriter) retain(ctx context.Context, p Policy) (Removed, error) {
	var r Removed
	if p.Age > 0 {
		if err := w.removeBefore(ctx, &r, micros(p.Now-int64(p.Age))); err != nil {
			return r, err
		}
	}
	for p.Bytes > 0 {
		db, segments, err := w.size(ctx)
		if err != nil || db+segments <= p.Bytes {
			return r, err
		}
		// Flows take the most room and are worth the least when they are old. They go, but not to make room for
		// more and more alerts: what is not in segments may take half.
		more := db > p.Bytes/2
		if more {
			if more, err = w.removeOldestHour(ctx, &r); err != nil {
				return r, err
			}
		}
		switch {
		case more:
		case segments == 0:
			return r, nil // what is left waits for a segment
		default:
			if err := w.removeSegments(ctx, &r, "id IN (SELECT id FROM segments ORDER BY last, id LIMIT 1)"); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// removeBefore removes what is older than a time. A segment goes when all of it is older.
func (w *DiskWriter) removeBefore(ctx context.Context, r *Removed, before int64) error {
	if err := w.removeSegments(ctx, r, "last < ?", before); err != nil {
		return err
	}
	return w.removeRows(ctx, r, before)
}

// removeOldestHour removes the oldest hour of roll-ups, scores, alerts and what models on trial said, and reports whether there
// was one.
func (w *DiskWriter) removeOldestHour(ctx context.Context, r *Removed) (bool, error) {
	var oldest sql.NullInt64
	err := w.write.QueryRowContext(ctx, `SELECT min(t) FROM (
		SELECT min(time) t FROM rollups WHERE dimension = 'app' AND span = 3600 UNION ALL SELECT min(start) FROM scores UNION ALL SELECT min(start) FROM alerts UNION ALL SELECT min(start) FROM suppressed UNION ALL SELECT min(last) FROM tried)`).Scan(&oldest)
	if err != nil || !oldest.Valid {
		return false, w.damaged(err)
	}
	return true, w.removeRows(ctx, r, floor(oldest.Int64, microsPerHour)+microsPerHour)
}

// removeSegments takes the segments for which a condition holds out of the manifest, and then
// removes their files: a kill in between leaves files that sweep removes.
func (w *DiskWriter) removeSegments(ctx context.Context, r *Removed, where string, args ...any) error {
	var files []string
	var removed Removed
	err := w.tx(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "DELETE FROM segments WHERE "+where+" RETURNING kind, file, count, last", args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var k kind
			var file string
			var n, last int64
			if err := rows.Scan(&k, &file, &n, &last); err != nil {
				return err
			}
			files = append(files, file)
			if k == flowKind {
				removed.Flows += n
			} else {
				removed.Windows += n
			}
			removed.until(last)
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	r.add(removed)
	for _, file := range files {
		if err := os.Remove(w.path(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return w.failed(err)
		}
	}
	return nil
}

// removeRows removes roll-ups, scores, alerts and what models on trial said when they are older than a time, and incidents when all their
// alerts are.
func (w *DiskWriter) removeRows(ctx context.Context, r *Removed, before int64) error {
	var removed Removed
	err := w.tx(ctx, func(tx *sql.Tx) error {
		for _, s := range []struct {
			what string
			n    *int64
		}{
			{"rollups WHERE span = 60 AND time < ?1 - 59999999 OR span = 3600 AND time < ?1 - 3599999999", nil},
			{"scores WHERE start < ?1", nil},
			{"alerts WHERE start < ?1", &removed.Alerts},
			{"suppressed WHERE start < ?1", &removed.Alerts},
			{"tried WHERE last < ?1", nil},
			{"incidents WHERE stop < ?1 AND NOT EXISTS (SELECT 1 FROM alerts WHERE incident = incidents.id)", nil},
			{"triage WHERE NOT EXISTS (SELECT 1 FROM incidents WHERE id = triage.incident)", nil},
		} {
			result, err := tx.ExecContext(ctx, "DELETE FROM "+s.what, before)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil {
				return err
			} else if s.n != nil && n > 0 {
				*s.n += n
				removed.until(before)
			}
		}
		var left int64
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM incidents WHERE id = ?", w.open.id).Scan(&left)
		if err == nil && left == 0 {
			w.open = openIncident{}
		}
		return err
	})
	if err != nil {
		return err
	}
	r.add(removed)
	// What is free now goes back to the file system.
	_, err = w.write.ExecContext(ctx, "PRAGMA incremental_vacuum")
	return w.failed(err)
}

// until notes the time of something that was removed, microseconds.
func (r *Removed) until(last int64) { r.Before = max(r.Before, nanos(last)) }

func (r *Removed) add(o Removed) {
	r.Flows += o.Flows
	r.Windows += o.Windows
	r.Alerts += o.Alerts
	r.Samples += o.Samples
	r.Before = max(r.Before, o.Before)
}

// size returns the bytes of the database, without its free pages, and of the segments.
func (w *DiskWriter) size(ctx context.Context) (db, segments int64, err error) {
	err = w.write.QueryRowContext(ctx, `SELECT (p.page_count - f.freelist_count) * s.page_size, (SELECT coalesce(sum(bytes), 0) FROM segments)
		FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`).Scan(&db, &segments)
	return db, segments, w.damaged(err)
}
