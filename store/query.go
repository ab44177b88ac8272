package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/weirnet/weir/event"
)

// view runs questions that see one moment of the database.
func (d *Disk) view(ctx context.Context, ask func(tx *sql.Tx) error) error {
	tx, err := d.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return d.damaged(err)
	}
	defer tx.Rollback()
	return d.damaged(ask(tx))
}

// each calls scan for every row of a question.
func each(rows *sql.Rows, err error, scan func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// micros returns the range in microseconds, from since to before until. Times are kept rounded down, so
// its ends are rounded up.
func (r Range) micros() (since, until int64) {
	since, until = r.bounds()
	up := func(nanos int64) int64 {
		if us := micros(nanos); nanos%1000 == 0 || us == math.MaxInt64/1000 {
			return us
		}
		return micros(nanos) + 1
	}
	if until == math.MaxInt64 {
		return up(since), math.MaxInt64
	}
	return up(since), up(until)
}

// Info implements Reader.
func (d *Disk) Info(ctx context.Context) (Info, error) {
	var info Info
	err := d.view(ctx, func(tx *sql.Tx) error {
		var oldest, newest sql.NullInt64
		var segmentBytes int64
		err := tx.QueryRowContext(ctx, `
			SELECT (SELECT min(t) FROM (SELECT min(first) t FROM segments UNION ALL SELECT min(first) FROM pending UNION ALL
					SELECT min(start) FROM scores UNION ALL SELECT min(start) FROM alerts UNION ALL SELECT min(time) FROM rollups WHERE span = 60)),
				(SELECT max(newest) FROM sources),
				(SELECT coalesce(sum(count), 0) FROM (SELECT kind, count FROM segments UNION ALL SELECT kind, count FROM pending) WHERE kind = 'flows'),
				(SELECT coalesce(sum(count), 0) FROM (SELECT kind, count FROM segments UNION ALL SELECT kind, count FROM pending) WHERE kind = 'windows'),
				(SELECT count(*) FROM alerts), (SELECT count(*) FROM incidents),
				(SELECT count(*) FROM segments), (SELECT coalesce(sum(bytes), 0) FROM segments)`).
			Scan(&oldest, &newest, &info.Flows, &info.Windows, &info.Alerts, &info.Incidents, &info.Segments, &segmentBytes)
		if err != nil {
			return err
		}
		if !newest.Valid { // no statistics yet: the rows tell
			err := tx.QueryRowContext(ctx, "SELECT max(t) FROM (SELECT max(last) t FROM segments UNION ALL SELECT max(last) FROM pending)").Scan(&newest)
			if err != nil {
				return err
			}
		}
		if oldest.Valid || newest.Valid {
			info.Newest, info.Oldest = nullTime(newest), nullTime(oldest)
			if !oldest.Valid {
				info.Oldest = info.Newest
			}
		}
		info.Bytes = segmentBytes
		rows, err := tx.QueryContext(ctx, "SELECT id, name, settings, events, digest, done, newest, stats FROM sources ORDER BY id")
		var ids []int64
		err = each(rows, err, func(rows *sql.Rows) error {
			var s SourceInfo
			var id, events, digest int64
			var newest sql.NullInt64
			var stats sql.NullString
			if err := rows.Scan(&id, &s.Name, &s.Settings, &events, &digest, &s.Done, &newest, &stats); err != nil {
				return err
			}
			s.Ordinal, s.Digest, s.Position.Done, s.Newest = uint64(events), uint64(digest), s.Done, nullTime(newest)
			if stats.Valid {
				s.Stats = new(event.Stats)
				if err := json.Unmarshal([]byte(stats.String), s.Stats); err != nil {
					return err
				}
			}
			ids, info.Sources = append(ids, id), append(info.Sources, s)
			return nil
		})
		if err != nil {
			return err
		}
		for i, id := range ids {
			rows, err := tx.QueryContext(ctx, "SELECT name, identity FROM captures WHERE source = ? ORDER BY name, identity", id)
			err = each(rows, err, func(rows *sql.Rows) error {
				var c Capture
				err := rows.Scan(&c.Name, &c.Identity)
				info.Sources[i].Captures = append(info.Sources[i].Captures, c)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, name := range []string{database, database + "-wal"} {
		if stat, err := os.Stat(d.path(name)); err == nil {
			info.Bytes += stat.Size()
		}
	}
	return info, err
}

// Scores implements Reader.
func (d *Disk) Scores(ctx context.Context, q ScoreQuery) ([]Score, error) {
	var scores []Score
	since, until := q.Range.micros()
	s := stepper{step: q.Step, keep: func(s Score) { scores = append(scores, s) }}
	err := d.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT s.start, s.length, s.packets, s.score, s.threshold, s.anomalous, s.lost, s.unsure, m.ref
			FROM scores s JOIN models m ON m.id = s.model WHERE s.start >= ? AND s.start < ? ORDER BY s.start, s.source, s.model`, since, until)
		return each(rows, err, func(rows *sql.Rows) error {
			var one Score
			var length float64
			var packets, lost int64
			if err := rows.Scan(&one.Start, &length, &packets, &one.Score, &one.Threshold, &one.Anomalous, &lost, &one.Unsure, &one.Model); err != nil {
				return err
			}
			one.Start, one.Length = nanos(one.Start), time.Duration(length*float64(time.Second))
			one.Packets, one.Lost = uint64(packets), uint64(lost)
			s.add(one)
			return nil
		})
	})
	s.finish()
	return scores, err
}

// Thin returns the highest of each step of scores, which are in order of time, as a ScoreQuery with
// that Step does.
func Thin(scores []Score, step time.Duration) []Score {
	var thin []Score
	s := stepper{step: step, keep: func(s Score) { thin = append(thin, s) }}
	for _, one := range scores {
		s.add(one)
	}
	s.finish()
	return thin
}

// stepper keeps the highest score of each step; one that is anomalous ranks above all others, one
// that was not scored below them.
type stepper struct {
	step time.Duration
	keep func(Score)
	best Score
	any  bool
}

func (s *stepper) add(one Score) {
	if s.step <= 0 {
		s.keep(one)
		return
	}
	if s.any && floor(one.Start, int64(s.step)) != floor(s.best.Start, int64(s.step)) {
		s.finish()
	}
	if !s.any || above(one, s.best) {
		s.best, s.any = one, true
	}
}

func (s *stepper) finish() {
	if s.any {
		s.keep(s.best)
		s.any = false
	}
}

func above(a, b Score) bool {
	switch {
	case a.Score == nil:
		return false
	case b.Score == nil:
		return true
	case a.Anomalous != b.Anomalous:
		return a.Anomalous
	}
	return *a.Score > *b.Score
}

// Top implements Reader.
func (d *Disk) Top(ctx context.Context, q TopQuery) (Top, error) {
	since, until := q.minutes()
	by := slices.Index(dimensions[:], q.By)
	if by < 0 {
		return Top{}, fmt.Errorf("store: no totals by %q", q.By)
	}
	all := newSums()
	sum := all.by[by]
	var rest Total
	err := d.view(ctx, func(tx *sql.Tx) error {
		add := func(t *Total, named bool) {
			if named {
				sum.add(key{t.Name, t.Novel}, t)
			} else {
				rest.Add(t)
			}
		}
		for _, part := range parts(since, until) {
			rows, err := tx.QueryContext(ctx, "SELECT totals FROM rollups WHERE dimension = ? AND span = ? AND time >= ? AND time < ?",
				string(q.By), part.span, part.since, part.until)
			err = each(rows, err, func(rows *sql.Rows) error {
				var text string
				if err := rows.Scan(&text); err != nil {
					return err
				}
				return decodeTotals(text, add)
			})
			if err != nil {
				return err
			}
		}
		var row flowRow
		return eachPending(ctx, tx, flowKind, since, until, func(r *batchReader) {
			if r.flow(&row); row.End >= since && row.End < until {
				all.addBy(by, &row)
			}
		})
	})
	if err != nil {
		return Top{}, err
	}
	top := Top{Rest: rest}
	var more Total
	top.Totals, more = sum.top(q.Limit)
	top.Rest.Add(&more)
	return top, nil
}

// Minutes returns the range widened to whole minutes, as Top answers it.
func (q TopQuery) Minutes() Range {
	since, until := q.minutes()
	r := Range{Since: nanos(since), Until: nanos(until)}
	if q.Since == 0 {
		r.Since = 0
	}
	if q.Until == 0 {
		r.Until = 0
	}
	return r
}

// minutes returns the range in microseconds, widened to whole minutes.
func (q TopQuery) minutes() (since, until int64) {
	since, until = q.Range.micros()
	if since > math.MinInt64/1000 {
		since = floor(since, microsPerMinute)
	}
	if until < math.MaxInt64/1000 {
		until = -floor(-until, microsPerMinute)
	}
	return since, until
}

// part is the share of a range that roll-ups of one span answer.
type part struct{ span, since, until int64 }

// parts splits a range of whole minutes: hours where they lie wholly in it, minutes at its ends.
func parts(since, until int64) []part {
	from, to := since, until
	if since > math.MinInt64/1000 {
		from = -floor(-since, microsPerHour)
	}
	if until < math.MaxInt64/1000 {
		to = floor(until, microsPerHour)
	}
	if from >= to {
		return []part{{minute, since, until}}
	}
	return []part{{minute, since, from}, {hour, from, to}, {minute, to, until}}
}

// eachPending gives the rows of the batches that wait and hold times of a range to use, which must
// read one row of the batch each time.
func eachPending(ctx context.Context, tx *sql.Tx, k kind, since, until int64, use func(*batchReader)) error {
	var fault error // of a batch: the others go on
	rows, err := tx.QueryContext(ctx, "SELECT data FROM pending WHERE kind = ? AND last >= ? AND first < ? ORDER BY id", string(k), since, until)
	err = each(rows, err, func(rows *sql.Rows) error {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return err
		}
		r, err := newBatchReader(data)
		if err != nil {
			fault = err
			return nil
		}
		for r.more() {
			use(r)
		}
		if r.bad {
			fault = errBatch
		}
		return nil
	})
	return cmp.Or(err, fault)
}

// verdicts joins the newest triage of incidents i; a LEFT JOIN, since most have none.
const verdicts = ` LEFT JOIN triage t ON t.id = (SELECT max(id) FROM triage WHERE incident = i.id AND number = 0)`

// Incidents implements Reader.
func (d *Disk) Incidents(ctx context.Context, q IncidentQuery) ([]Incident, error) {
	since, until := q.Range.micros()
	var all []Incident
	err := d.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT i.id, s.name, i.first, i.stop, i.alerts, i.peak, i.peak_alert,
				coalesce(t.verdict, ''), coalesce(t.note, ''), coalesce(t.who, ''), coalesce(t.at, 0)
			FROM incidents i JOIN sources s ON s.id = i.source`+verdicts+`
			WHERE i.stop > ?1 AND i.first < ?2 AND (?3 = 0 OR i.id = ?3) AND (?4 = '' OR coalesce(t.verdict, 'open') = ?4)
			ORDER BY i.first DESC, i.id DESC LIMIT ?5`, since, until, q.ID, string(q.Verdict), limit(q.Limit))
		return each(rows, err, func(rows *sql.Rows) error {
			var i Incident
			t := &i.Triage
			if err := rows.Scan(&i.ID, &i.Source, &i.Start, &i.End, &i.Windows, &i.Peak, &i.PeakAlert, &t.Verdict, &t.Note, &t.Who, &t.At); err != nil {
				return err
			}
			i.Start, i.End, t.At = nanos(i.Start), nanos(i.End), nanos(t.At)
			all = append(all, i)
			return nil
		})
	})
	slices.Reverse(all)
	return all, err
}

// limit is n as SQLite has it: negative is none.
func limit(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}

// alertPage is how many alerts are read at a time: an answer of many must not hold a view open for
// as long as its reader takes.
const alertPage = 64

// Alerts implements Reader.
func (d *Disk) Alerts(ctx context.Context, q AlertQuery) iter.Seq2[*Alert, error] {
	return func(yield func(*Alert, error) bool) {
		after := ID{}
		for {
			page, err := d.alerts(ctx, q, after)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page {
				if !yield(&page[i], nil) {
					return
				}
			}
			if len(page) < alertPage {
				return
			}
			after = page[len(page)-1].ID
		}
	}
}

// alerts returns a page of alerts, those that come after an ID.
func (d *Disk) alerts(ctx context.Context, q AlertQuery, after ID) ([]Alert, error) {
	since, until := q.Range.micros()
	var page []Alert
	err := d.view(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT a.incident, a.number, s.name, a.body,
				coalesce(t.verdict, ''), coalesce(t.note, ''), coalesce(t.who, ''), coalesce(t.at, 0)
			FROM alerts a JOIN incidents i ON i.id = a.incident JOIN sources s ON s.id = i.source
			LEFT JOIN triage t ON t.id = (SELECT max(id) FROM triage WHERE incident = a.incident AND number IN (0, a.number))
			WHERE (a.incident, a.number) > (?1, ?2) AND a.start >= ?3 AND a.start < ?4 AND (?5 = 0 OR a.incident = ?5) AND (?6 = 0 OR a.number = ?6)
			ORDER BY a.incident, a.number LIMIT ?7`, after.Incident, after.Alert, since, until, q.ID.Incident, q.ID.Alert, alertPage)
		return each(rows, err, func(rows *sql.Rows) error {
			var a Alert
			var body string
			t := &a.Triage
			if err := rows.Scan(&a.ID.Incident, &a.ID.Alert, &a.Source, &body, &t.Verdict, &t.Note, &t.Who, &t.At); err != nil {
				return err
			}
			t.At = nanos(t.At)
			if err := json.Unmarshal([]byte(body), &a.Alert); err != nil {
				return fmt.Errorf("alert %s: %w", a.ID, err)
			}
			page = append(page, a)
			return nil
		})
	})
	return page, err
}

// Triage implements Reader.
func (d *Disk) Triage(ctx context.Context, id ID, t Triage) error {
	switch t.Verdict {
	case Untriaged, Confirmed, Dismissed:
	default:
		return fmt.Errorf("store: verdict %q: want %s, %s or %s", t.Verdict, Confirmed, Dismissed, Untriaged)
	}
	db, err := d.connect("rw", url.Values{"_synchronous": {"FULL"}})
	if err != nil {
		return err
	}
	defer db.Close()
	// One statement: the alert is there and the verdict is noted, or neither.
	result, err := db.ExecContext(ctx, `INSERT INTO triage (incident, number, verdict, note, who, at) SELECT ?1, ?2, ?3, ?4, ?5, ?6
		WHERE EXISTS (SELECT 1 FROM incidents WHERE id = ?1) AND (?2 = 0 OR EXISTS (SELECT 1 FROM alerts WHERE incident = ?1 AND number = ?2))`,
		id.Incident, id.Alert, string(t.Verdict), text(t.Note), text(t.Who), micros(t.At))
	if err != nil {
		return d.damaged(err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("store: %w: %s", ErrUnknown, id))
	}
	return nil
}
