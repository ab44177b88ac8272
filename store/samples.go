package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/internal/lock"
)

// samplesFile is the name of the database of samples. It is one of its own since it holds payload: it is for its owner alone, and removing it
// removes all of that. There is none before the first sample.
const samplesFile = "samples.db"

// samplesVersion is PRAGMA user_version of a database with this schema.
const samplesVersion = 1

// Times are microseconds since the Unix epoch.
const samplesSchema = `
CREATE TABLE IF NOT EXISTS samples (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	flow       INTEGER NOT NULL,         -- flow_id
	start      INTEGER NOT NULL,         -- of the flow
	at         INTEGER NOT NULL,         -- when it was decided
	community  TEXT NOT NULL,
	src        TEXT NOT NULL,
	src_port   INTEGER NOT NULL,
	dst        TEXT NOT NULL,
	dst_port   INTEGER NOT NULL,
	proto      TEXT NOT NULL,
	app        TEXT NOT NULL,            -- as the model labelled it
	confidence REAL NOT NULL,
	source     TEXT NOT NULL,
	packets    INTEGER NOT NULL,
	novel      INTEGER NOT NULL,
	model      TEXT NOT NULL,
	nearest    TEXT NOT NULL,
	similarity REAL NOT NULL,
	least      REAL NOT NULL,            -- similarity from which flows are alike; 0: not known
	grp        INTEGER NOT NULL,         -- 0: none
	correction INTEGER NOT NULL,         -- 0: none
	bytes      INTEGER NOT NULL,         -- of embedding and opening
	embedding  BLOB NOT NULL,
	opening    BLOB,                     -- null: not known, empty: removed
	UNIQUE (flow, start)
);
CREATE INDEX IF NOT EXISTS samples_correction ON samples (correction, at, bytes);
CREATE INDEX IF NOT EXISTS samples_grp ON samples (grp, correction);
-- The first flow of each group.
CREATE TABLE IF NOT EXISTS groups (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	model     TEXT NOT NULL,
	embedding BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS corrections (
	id   INTEGER PRIMARY KEY AUTOINCREMENT,
	app  TEXT NOT NULL,
	grp  INTEGER NOT NULL,               -- 0: of a single flow
	port INTEGER NOT NULL,               -- of the group, only flows to it; 0: all
	note TEXT NOT NULL,
	who  TEXT NOT NULL,
	at   INTEGER NOT NULL
);
`

// openSamples opens the database of samples for writing and makes it where there is none.
func (d *Disk) openSamples(ctx context.Context) (*sql.DB, error) {
	f, err := os.OpenFile(d.path(samplesFile), os.O_RDWR|os.O_CREATE, 0o600) // its log takes over the mode
	if err != nil {
		return nil, d.failedIn(samplesFile, err)
	}
	f.Close()
	db, err := d.connectTo(samplesFile, "rw", url.Values{
		"_auto_vacuum": {"INCREMENTAL"}, "_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_txlock": {"immediate"},
		"_pragma": {"journal_size_limit(16777216)", "secure_delete(1)"},
	})
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	known, err := d.samplesKnown(ctx, db)
	if err == nil && !known {
		_, err = db.ExecContext(ctx, fmt.Sprintf("BEGIN IMMEDIATE; PRAGMA application_id = %d; %s PRAGMA user_version = %d; COMMIT", applicationID, samplesSchema, samplesVersion))
		err = d.failedIn(samplesFile, err)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// samplesKnown reports whether a database of samples has its tables, and refuses one of another version.
func (d *Disk) samplesKnown(ctx context.Context, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}) (bool, error) {
	var version int64
	err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	if err == nil && version > samplesVersion {
		err = fmt.Errorf("%s has layout %d, this weir knows %d", samplesFile, version, samplesVersion)
	}
	if err != nil {
		if err = d.failedIn(samplesFile, err); !errors.Is(err, ErrFull) && !errors.Is(err, ErrLocked) {
			err = fmt.Errorf("%w (without this file all else can be read)", err)
		}
		return false, err
	}
	return version > 0, nil
}

// editSamples changes samples in one transaction, beside the one that writes.
func (d *Disk) editSamples(ctx context.Context, do func(*sql.Tx) error) error {
	db, err := d.openSamples(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	return d.inTx(ctx, db, do)
}

func (d *Disk) inTx(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return d.failedIn(samplesFile, err)
	}
	defer tx.Rollback()
	switch err := do(tx); {
	case errors.Is(err, ErrNoGroup), errors.Is(err, ErrNoCorrection): // the database is well
		return fmt.Errorf("store: %w", err)
	case err != nil:
		return d.failedIn(samplesFile, err)
	}
	return d.failedIn(samplesFile, tx.Commit())
}

// viewSamples asks the samples at one moment; where there are none, nothing is asked.
func (d *Disk) viewSamples(ctx context.Context, do func(*sql.Tx) error) error {
	if !d.hasSamples() {
		return nil
	}
	ask := func(more url.Values) error {
		db, err := d.connectTo(samplesFile, "ro", more)
		if err != nil {
			return err
		}
		defer db.Close()
		tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return d.failedIn(samplesFile, err)
		}
		defer tx.Rollback()
		if known, err := d.samplesKnown(ctx, tx); err != nil || !known {
			return err
		}
		return d.failedIn(samplesFile, do(tx))
	}
	err := ask(url.Values{"_query_only": {"1"}})
	if code := sqliteCode(err); code == sqlite3.SQLITE_READONLY || code == sqlite3.SQLITE_CANTOPEN { // as in Open
		err = ask(url.Values{"immutable": {"1"}})
	}
	return err
}

func (d *Disk) hasSamples() bool {
	_, err := os.Stat(d.path(samplesFile))
	return err == nil
}

// sampleWriter is what a DiskWriter needs for samples.
type sampleWriter struct {
	db       *sql.DB             // nil until it is needed
	leaders  map[string][]Leader // by model; nil until they are needed
	added    bool                // since samples were last removed
	retained int64               // hour that the policy was last asked in, microseconds
}

func (s *sampleWriter) close() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// keepSamples stores the samples among events, in groups. What is stored already stays as it is.
func (w *DiskWriter) keepSamples(ctx context.Context, events []event.Event) (err error) {
	s := &w.samples
	first := 0
	for first < len(events) && (events[first].Type != event.TypeLabel || events[first].Label.Sample == nil) {
		first++
	}
	if first == len(events) {
		return nil
	}
	if s.db == nil {
		if s.db, err = w.openSamples(ctx); err != nil {
			return err
		}
	}
	err = w.inTx(ctx, s.db, func(tx *sql.Tx) error {
		if s.leaders == nil {
			if err := s.load(ctx, tx); err != nil {
				return err
			}
		}
		insert, err := tx.PrepareContext(ctx, insertSamples+"DO NOTHING")
		if err != nil {
			return err
		}
		defer insert.Close()
		for i := first; i < len(events); i++ {
			if e := &events[i]; e.Type == event.TypeLabel && e.Label.Sample != nil {
				if err := s.keep(ctx, tx, insert, e); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		s.leaders = nil // groups that the transaction made are no more
		return err
	}
	s.added = true
	return nil
}

func (s *sampleWriter) load(ctx context.Context, tx *sql.Tx) error {
	s.leaders = map[string][]Leader{}
	rows, err := tx.QueryContext(ctx, "SELECT id, model, embedding FROM groups ORDER BY id")
	return each(rows, err, func(rows *sql.Rows) error {
		var group int64
		var model string
		var embedding sql.RawBytes
		if err := rows.Scan(&group, &model, &embedding); err != nil {
			return err
		}
		s.leaders[model] = append(s.leaders[model], NewLeader(group, signed(embedding)))
		return nil
	})
}

func (s *sampleWriter) keep(ctx context.Context, tx *sql.Tx, insert *sql.Stmt, e *event.Event) error {
	model := text(e.Label.Model)
	group := NearestLeader(s.leaders[model], e.Label.Sample)
	if group == 0 && MayLead(s.leaders[model], e.Label.Sample) {
		var there int
		err := tx.QueryRowContext(ctx, "SELECT 1 FROM samples WHERE flow = ? AND start = ?", count(e.Tuple.FlowID), micros(int64(e.Label.Sample.Start))).Scan(&there)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		result, err := tx.ExecContext(ctx, "INSERT INTO groups (model, embedding) VALUES (?, ?)", model, unsigned(e.Label.Sample.Embedding))
		if err != nil {
			return err
		}
		if group, err = result.LastInsertId(); err != nil {
			return err
		}
		s.leaders[model] = append(s.leaders[model], NewLeader(group, append([]int8(nil), e.Label.Sample.Embedding...)))
	}
	return insertSample(ctx, insert, &Sample{At: e.Nanos, Tuple: *e.Tuple, Label: *e.Label, Group: group})
}

const insertSamples = `INSERT INTO samples (flow, start, at, community, src, src_port, dst, dst_port, proto, app, confidence, source, packets, novel,
	model, nearest, similarity, least, grp, correction, bytes, embedding, opening) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (flow, start) `

// correctSample has a sample that is there take the correction, and the opening if it had none.
const correctSample = `DO UPDATE SET correction = excluded.correction, opening = coalesce(nullif(opening, x''), excluded.opening, opening),
	bytes = CASE WHEN length(opening) > 0 THEN bytes ELSE length(embedding) + coalesce(length(excluded.opening), 0) END`

// insertSample stores a sample by a statement of insertSamples.
func insertSample(ctx context.Context, insert *sql.Stmt, s *Sample) error {
	t, l, f := &s.Tuple, &s.Label, s.Label.Sample
	var opening any
	if len(f.Opening) > 0 {
		opening = f.Opening
	}
	_, err := insert.ExecContext(ctx,
		count(t.FlowID), micros(int64(f.Start)), micros(s.At), text(t.CommunityID), text(t.SrcIP), t.SrcPort, text(t.DestIP), t.DestPort, text(t.Proto),
		text(l.App), l.Confidence, text(l.Source), l.Packets, l.Novel, text(l.Model), text(f.Nearest), f.Similarity, f.Limit, s.Group, s.Correction,
		len(f.Embedding)+len(f.Opening), unsigned(f.Embedding), opening)
	return err
}

func signed(b []byte) []int8 {
	v := make([]int8, len(b))
	for i, x := range b {
		v[i] = int8(x)
	}
	return v
}

func unsigned(v []int8) []byte {
	b := make([]byte, len(v))
	for i, x := range v {
		b[i] = byte(x)
	}
	return b
}

// sampleColumns are what scanSample reads, but for the last two: embedding and opening, or what stands for them.
const sampleColumns = `SELECT s.id, s.flow, s.start, s.at, s.community, s.src, s.src_port, s.dst, s.dst_port, s.proto, s.app, s.confidence, s.source, s.packets,
	s.novel, s.model, s.nearest, s.similarity, s.least, s.grp, s.correction, coalesce(c.app, '')`

const sampleTables = " FROM samples s LEFT JOIN corrections c ON c.id = s.correction "

func scanSample(rows *sql.Rows, s *Sample, more ...any) error {
	f := new(event.Sample)
	s.Label.Sample = f
	t, l := &s.Tuple, &s.Label
	var start int64
	err := rows.Scan(append([]any{&s.ID, &t.FlowID, &start, &s.At, &t.CommunityID, &t.SrcIP, &t.SrcPort, &t.DestIP, &t.DestPort, &t.Proto, &l.App, &l.Confidence,
		&l.Source, &l.Packets, &l.Novel, &l.Model, &f.Nearest, &f.Similarity, &f.Limit, &s.Group, &s.Correction, &s.App}, more...)...)
	f.Start, s.At = event.Time(nanos(start)), nanos(s.At)
	return err
}

// samplePage is how many samples are read at a time: what is yielded of them may take as long as it wants.
const samplePage = 256

// Samples implements Labeller.
func (d *Disk) Samples(ctx context.Context, q SampleQuery) iter.Seq2[*Sample, error] {
	return func(yield func(*Sample, error) bool) {
		after, left := int64(0), q.Limit
		order := "s.id > ?1 ORDER BY s.id"
		if q.Newest {
			after, order = 1<<62, "s.id < ?1 ORDER BY s.id DESC"
		}
		for {
			page := make([]Sample, 0, samplePage)
			limit := samplePage
			if q.Limit > 0 {
				limit = min(limit, left)
			}
			err := d.viewSamples(ctx, func(tx *sql.Tx) error {
				rows, err := tx.QueryContext(ctx, sampleColumns+", s.embedding, s.opening"+sampleTables+
					"WHERE (?2 = 0 OR s.grp = ?2) AND (NOT ?3 OR s.correction <> 0) AND "+order+" LIMIT ?4", after, q.Group, q.Corrected, limit)
				return each(rows, err, func(rows *sql.Rows) error {
					var one Sample
					var embedding sql.RawBytes
					var opening []byte
					if err := scanSample(rows, &one, &embedding, &opening); err != nil {
						return err
					}
					if len(embedding) > 0 {
						one.Label.Sample.Embedding = signed(embedding)
					}
					if len(opening) > 0 {
						one.Label.Sample.Opening = opening
					}
					page = append(page, one)
					return nil
				})
			})
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page {
				after = page[i].ID
				if !yield(&page[i], nil) {
					return
				}
			}
			left -= len(page)
			if len(page) < samplePage || q.Limit > 0 && left <= 0 {
				return
			}
		}
	}
}

// Groups implements Labeller.
func (d *Disk) Groups(ctx context.Context, q GroupQuery) ([]Group, error) {
	var g Grouping
	since, until := q.Range.micros()
	err := d.viewSamples(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, sampleColumns+", coalesce(length(s.opening), 0)"+sampleTables+
			"WHERE s.grp <> 0 AND (?1 = 0 OR s.grp = ?1) AND s.at >= ?2 AND s.at < ?3 ORDER BY s.id", q.ID, since, until)
		return each(rows, err, func(rows *sql.Rows) error {
			var one Sample
			var bytes int64
			if err := scanSample(rows, &one, &bytes); err != nil {
				return err
			}
			g.Add(&one, bytes)
			return nil
		})
	})
	return g.Groups(), err
}

// Correct implements Labeller.
func (d *Disk) Correct(ctx context.Context, c Correction) (Correction, error) {
	if err := c.Check(); err != nil {
		return c, err
	}
	if c.Group != 0 && !d.hasSamples() {
		return c, fmt.Errorf("store: %w: %d", ErrNoGroup, c.Group)
	}
	err := d.editSamples(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, "INSERT INTO corrections (app, grp, port, note, who, at) VALUES (?, ?, ?, ?, ?, ?)", c.App, c.Group, c.Port, text(c.Note), text(c.Who), micros(c.At))
		if err != nil {
			return err
		}
		if c.ID, err = result.LastInsertId(); err != nil {
			return err
		}
		if c.Group == 0 {
			one := *c.Of
			one.Group, one.Correction = 0, c.ID
			insert, err := tx.PrepareContext(ctx, insertSamples+correctSample)
			if err != nil {
				return err
			}
			defer insert.Close()
			if err := insertSample(ctx, insert, &one); err != nil {
				return err
			}
		} else {
			result, err := tx.ExecContext(ctx, "UPDATE samples SET correction = ?1 WHERE grp = ?2 AND correction = 0 AND (?3 = 0 OR dst_port = ?3)", c.ID, c.Group, c.Port)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, fmt.Errorf("%w: %d", ErrNoGroup, c.Group))
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM corrections WHERE NOT EXISTS (SELECT 1 FROM samples WHERE correction = corrections.id)"); err != nil {
			return err
		}
		all, err := corrections(ctx, tx, c.ID)
		if err == nil && len(all) == 1 {
			all[0].Of = nil
			c = all[0]
		}
		return err
	})
	return c, err
}

// corrections returns one or, with id 0, all.
func corrections(ctx context.Context, tx *sql.Tx, id int64) ([]Correction, error) {
	var all []Correction
	// What stands beside min() is of the row that has it.
	rows, err := tx.QueryContext(ctx, `SELECT c.id, c.app, c.grp, c.port, c.note, c.who, c.at, count(*), sum(length(s.opening) > 0), min(s.id),
		s.app, s.flow, s.community, s.src, s.src_port, s.dst, s.dst_port, s.proto
		FROM corrections c JOIN samples s ON s.correction = c.id WHERE ?1 = 0 OR c.id = ?1 GROUP BY c.id ORDER BY c.id`, id)
	err = each(rows, err, func(rows *sql.Rows) error {
		var c Correction
		var first int64
		var openings sql.NullInt64
		t := &c.Example
		if err := rows.Scan(&c.ID, &c.App, &c.Group, &c.Port, &c.Note, &c.Who, &c.At, &c.Flows, &openings, &first,
			&c.Was, &t.FlowID, &t.CommunityID, &t.SrcIP, &t.SrcPort, &t.DestIP, &t.DestPort, &t.Proto); err != nil {
			return err
		}
		c.At, c.Openings = nanos(c.At), openings.Int64
		all = append(all, c)
		return nil
	})
	return all, err
}

// Corrections implements Labeller.
func (d *Disk) Corrections(ctx context.Context) (all []Correction, err error) {
	err = d.viewSamples(ctx, func(tx *sql.Tx) (err error) {
		all, err = corrections(ctx, tx, 0)
		return err
	})
	return all, err
}

// RemoveCorrection implements Labeller.
func (d *Disk) RemoveCorrection(ctx context.Context, id int64) error {
	none := fmt.Errorf("%w: %d", ErrNoCorrection, id)
	if !d.hasSamples() {
		return fmt.Errorf("store: %w", none)
	}
	return d.editSamples(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, "DELETE FROM corrections WHERE id = ?", id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, none)
		}
		// Flows that are kept for the correction alone go with it.
		if _, err := tx.ExecContext(ctx, "DELETE FROM samples WHERE correction = ? AND length(embedding) = 0", id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE samples SET correction = 0 WHERE correction = ?", id)
		return err
	})
}

// Openings implements Labeller.
func (d *Disk) Openings(ctx context.Context, find func(flowID uint64) *event.Sample) (found int, err error) {
	type opening struct {
		id    int64
		start int64
		flow  uint64
		bytes []byte
	}
	var wanted []opening
	err = d.viewSamples(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id, flow, start FROM samples WHERE correction <> 0 AND opening IS NULL")
		return each(rows, err, func(rows *sql.Rows) error {
			var o opening
			err := rows.Scan(&o.id, &o.flow, &o.start)
			wanted = append(wanted, o)
			return err
		})
	})
	n := 0
	for _, o := range wanted {
		if s := find(o.flow); s != nil && micros(int64(s.Start)) == o.start {
			o.bytes = s.Opening
			wanted[n] = o
			n++
		}
	}
	if err != nil || n == 0 {
		return 0, err
	}
	err = d.editSamples(ctx, func(tx *sql.Tx) error {
		for _, o := range wanted[:n] {
			if _, err := tx.ExecContext(ctx, "UPDATE samples SET opening = ?2, bytes = bytes + length(?2) WHERE id = ?1 AND opening IS NULL", o.id, o.bytes); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// Forget implements Labeller.
func (d *Disk) Forget(ctx context.Context, all bool) (flows int64, err error) {
	if !d.hasSamples() {
		return 0, nil
	}
	db, err := d.openSamples(ctx)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	err = d.inTx(ctx, db, func(tx *sql.Tx) error {
		flows = 0
		for _, change := range []struct {
			sql string
			do  bool
		}{
			{"DELETE FROM samples WHERE correction = 0", true},
			{"UPDATE samples SET opening = x'', bytes = length(embedding) WHERE opening IS NULL OR length(opening) > 0", all},
		} {
			if !change.do {
				continue
			}
			result, err := tx.ExecContext(ctx, change.sql)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			flows += n
		}
		return nil
	})
	if err != nil {
		return flows, err
	}
	// What was removed was overwritten, in the log last of all. Who reads meanwhile holds the log.
	var busy, pages, moved int
	_, err = db.ExecContext(ctx, "PRAGMA incremental_vacuum")
	if err == nil {
		err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	}
	if err == nil && busy != 0 {
		err = fmt.Errorf("%w: what was removed is not overwritten in its log yet: forget once more", ErrLocked)
	}
	return flows, d.failedIn(samplesFile, err)
}

// retainSamples removes what the policy says of the samples that bear no correction, the oldest first.
func (w *DiskWriter) retainSamples(ctx context.Context, p Policy) (r Removed, err error) {
	s := &w.samples
	hour := floor(micros(p.Now), microsPerHour)
	if !s.added && s.retained == hour || !w.hasSamples() {
		return r, nil
	}
	if s.db == nil {
		if s.db, err = w.openSamples(ctx); err != nil {
			return r, err
		}
	}
	before := int64(noTime)
	if p.Age > 0 {
		before = micros(p.Now - int64(p.Age))
	}
	var n, bytes, newest int64
	err = w.inTx(ctx, s.db, func(tx *sql.Tx) error {
		n, newest = 0, noTime
		remove := func(where string, args ...any) error {
			var last sql.NullInt64
			if err := tx.QueryRowContext(ctx, "SELECT max(at) FROM samples WHERE correction = 0 AND "+where, args...).Scan(&last); err != nil || !last.Valid {
				return err
			}
			result, err := tx.ExecContext(ctx, "DELETE FROM samples WHERE correction = 0 AND "+where, args...)
			if err != nil {
				return err
			}
			k, err := result.RowsAffected()
			n, newest = n+k, max(newest, last.Int64)
			return err
		}
		if err := remove("at < ?", before); err != nil {
			return err
		}
		var rows int64
		if err := tx.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(bytes), 0) FROM samples WHERE correction = 0").Scan(&rows, &bytes); err != nil {
			return err
		}
		tooMany, tooLarge := max(rows-MaxSamples, 0), int64(0)
		if p.Samples > 0 {
			tooLarge = max(bytes-p.Samples, 0)
		}
		if tooMany == 0 && tooLarge == 0 {
			return nil
		}
		// A sixteenth more, or there would be some to remove every second.
		tooMany, tooLarge = tooMany+MaxSamples/16*min(tooMany, 1), tooLarge+p.Samples/16*min(tooLarge, 1)
		var upTo int64
		err := tx.QueryRowContext(ctx, `SELECT coalesce(min(id), (SELECT max(id) FROM samples)) FROM (SELECT id, sum(bytes) OVER w AS b, count(*) OVER w AS k FROM samples WHERE correction = 0
			WINDOW w AS (ORDER BY id)) WHERE b >= ? AND k >= ?`, tooLarge, tooMany).Scan(&upTo)
		if err != nil {
			return err
		}
		return remove("id <= ?", upTo)
	})
	if err == nil && n > 0 {
		r.Samples = n
		r.until(newest)
		s.leaders = nil
		_, err = s.db.ExecContext(ctx, "DELETE FROM groups WHERE NOT EXISTS (SELECT 1 FROM samples WHERE grp = groups.id); PRAGMA incremental_vacuum")
		err = w.failedIn(samplesFile, err)
	}
	if err == nil {
		s.added, s.retained = false, hour
	}
	return r, err
}

// Written reports whether a process writes to the store now.
func (d *Disk) Written() bool {
	f, err := lock.File(d.path("lock"))
	if err == nil {
		f.Close()
	}
	return errors.Is(err, lock.ErrInUse)
}
