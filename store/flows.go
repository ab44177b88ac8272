package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/weirnet/weir/event"
)

// Flows implements Reader.
func (d *Disk) Flows(ctx context.Context, q FlowQuery) iter.Seq2[*Flow, error] {
	return func(yield func(*Flow, error) bool) {
		match := newFlowMatch(q)
		m := &merge[flowRow]{
			ctx: ctx, newest: q.Newest, gone: d.gone,
			time: func(r *flowRow) int64 { return r.End },
			open: func(s segment) (*cursor[flowRow], error) { return d.openFlows(s, match) },
		}
		err := d.moment(ctx, flowKind, match.since, match.until, &m.closed, func(r *batchReader) {
			var row flowRow
			if r.flow(&row); match.row(&row) {
				m.waiting = append(m.waiting, row)
			}
		})
		if err != nil && (!yield(nil, err) || !errors.Is(err, errBatch)) {
			return
		}
		var f Flow
		m.each(q.Limit, func(row *flowRow, err error) bool {
			if err != nil {
				return yield(nil, err)
			}
			row.flow(&f)
			return yield(&f, nil)
		})
	}
}

// Windows implements Reader.
func (d *Disk) Windows(ctx context.Context, q WindowQuery) iter.Seq2[*event.Window, error] {
	return func(yield func(*event.Window, error) bool) {
		since, until := q.Range.micros()
		m := &merge[windowRow]{
			ctx: ctx, gone: d.gone,
			time: func(r *windowRow) int64 { return r.Start },
			open: func(s segment) (*cursor[windowRow], error) { return d.openWindows(s, since, until) },
		}
		err := d.moment(ctx, windowKind, since, until, &m.closed, func(r *batchReader) {
			var row windowRow
			if r.window(&row); row.Start >= since && row.Start < until {
				m.waiting = append(m.waiting, row)
			}
		})
		if err != nil && (!yield(nil, err) || !errors.Is(err, errBatch)) {
			return
		}
		m.each(q.Limit, func(row *windowRow, err error) bool {
			if err != nil {
				return yield(nil, err)
			}
			return yield(row.window(), nil)
		})
	}
}

// moment returns the segments that hold times of a range and gives the rows that wait to use, all of
// one moment.
func (d *Disk) moment(ctx context.Context, k kind, since, until int64, segments *[]segment, use func(*batchReader)) error {
	return d.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id, file, bytes, crc, first, last FROM segments WHERE kind = ? AND last >= ? AND first < ? ORDER BY id", string(k), since, until)
		err = each(rows, err, func(rows *sql.Rows) error {
			var s segment
			err := rows.Scan(&s.id, &s.file, &s.bytes, &s.crc, &s.first, &s.last)
			*segments = append(*segments, s)
			return err
		})
		if err != nil {
			return err
		}
		return eachPending(ctx, tx, k, since, until, use)
	})
}

// gone reports whether an error is that of a segment which left the manifest after a question began:
// then it is as if it had never been there.
func (d *Disk) gone(ctx context.Context, s segment, err error) bool {
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	var n int64
	err = d.read.QueryRowContext(ctx, "SELECT count(*) FROM segments WHERE id = ?", s.id).Scan(&n)
	return err == nil && n == 0
}

// scanRows is how many rows of a segment are put together at a time.
const scanRows = 1024

// openFlows returns the rows of a segment that match, nil when there are none.
func (d *Disk) openFlows(s segment, q flowMatch) (*cursor[flowRow], error) {
	path := d.path(s.file)
	file, err := s.open(path)
	if err != nil {
		return nil, err
	}
	columns, err := openColumns(file)
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	q.always = s.first >= q.since && s.last < q.until
	places, err := columns.matches(&q) // of the rows that are still to come
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	if len(places) == 0 {
		return nil, nil
	}
	buffer := make([]flowRow, min(len(places), scanRows))
	return &cursor[flowRow]{
		id: s.id,
		more: func() ([]flowRow, error) {
			n := min(len(places), len(buffer))
			rows, next := buffer[:n], places[:n]
			if q.Newest {
				next = places[len(places)-n:]
				places = places[:len(places)-n]
				columns.rewind() // columns go forward only
			} else {
				places = places[n:]
			}
			if err := columns.read(rows, next); err != nil {
				return nil, fmt.Errorf("store: %s: %w", path, err)
			}
			if q.Newest {
				slices.Reverse(rows)
			}
			return rows, nil
		},
		close: columns.rewind,
	}, nil
}

// openWindows returns the rows of a segment between two times.
func (d *Disk) openWindows(s segment, since, until int64) (*cursor[windowRow], error) {
	path := d.path(s.file)
	file, err := s.open(path)
	if err != nil {
		return nil, err
	}
	reader := parquet.NewReader(file)
	values := make([]parquet.Row, 64)
	var buffer []windowRow
	return &cursor[windowRow]{
		id: s.id,
		more: func() ([]windowRow, error) {
			buffer = buffer[:0]
			for len(buffer) == 0 {
				n, err := reader.ReadRows(values)
				for _, v := range values[:n] {
					var row windowRow
					if err := row.setValues(v); err != nil {
						return nil, fmt.Errorf("store: %s: %w", path, err)
					}
					if row.Start >= since && row.Start < until {
						buffer = append(buffer, row)
					}
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					return nil, fmt.Errorf("store: %s: %w", path, err)
				}
			}
			return buffer, nil
		},
		close: func() { reader.Close() },
	}, nil
}
