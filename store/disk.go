package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/internal/lock"
)

// database is the name of the database in the store's directory.
const database = "weir.db"

// Disk reads a store in a directory. It sees what is acknowledged at the moment of each question,
// also while another process writes.
type Disk struct {
	dir  string
	read *sql.DB
}

// Open opens a store for reading and for triage.
func Open(dir string) (*Disk, error) {
	d := &Disk{dir: dir}
	if _, err := os.Stat(d.path(database)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("store %s: there is none", dir)
		}
		return nil, d.failed(err)
	}
	var err error
	if d.read, err = d.connect("ro", url.Values{"_query_only": {"1"}}); err != nil {
		return nil, err
	}
	err = d.check(context.Background())
	if code := sqliteCode(err); code == sqlite3.SQLITE_READONLY || code == sqlite3.SQLITE_CANTOPEN {
		// Whoever reads beside a writer shares memory in a file with it. Where that is not there and may not be
		// made, nobody writes, unless a log says that somebody was.
		if _, missing := os.Stat(d.path(database + "-wal")); errors.Is(missing, fs.ErrNotExist) {
			d.read.Close()
			if d.read, err = d.connect("ro", url.Values{"immutable": {"1"}}); err != nil {
				return nil, err
			}
			err = d.check(context.Background())
		}
	}
	if err != nil {
		d.read.Close()
		return nil, err
	}
	return d, nil
}

// Dir is the directory of the store.
func (d *Disk) Dir() string { return d.dir }

func (d *Disk) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

// lockWait is how long a statement waits for another process.
const lockWait = 5 * time.Second

// connect opens the database; mode is ro, rw or rwc as SQLite names them.
func (d *Disk) connect(mode string, more url.Values) (*sql.DB, error) {
	return d.connectTo(database, mode, more)
}

// connectTo opens one of the databases in the directory.
func (d *Disk) connectTo(name, mode string, more url.Values) (*sql.DB, error) {
	abs, err := filepath.Abs(d.path(name))
	if err != nil {
		return nil, d.failed(err)
	}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") {
		abs = "/" + abs // C:/…
	}
	values := url.Values{"mode": {mode}, "_busy_timeout": {fmt.Sprint(lockWait.Milliseconds())}, "_dqs": {"0"}, "_defensive": {"1"}}
	for name, v := range more {
		values[name] = v
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: values.Encode()}).String())
	if err != nil {
		return nil, d.failed(err)
	}
	return db, nil
}

// check refuses a database that is not a store's or of another version.
func (d *Disk) check(ctx context.Context) error {
	var id, version int64
	err := d.read.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id)
	if err == nil {
		err = d.read.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	}
	switch {
	case err != nil:
		return d.damaged(err)
	case id != applicationID:
		return fmt.Errorf("store: %s is not the database of a store", d.path(database))
	case version < 1 || version > schemaVersion:
		return fmt.Errorf("store: %s has layout %d, this weir knows %d", d.path(database), version, schemaVersion)
	}
	return nil
}

// damaged tells an error of the database with what is left to read beside it.
func (d *Disk) damaged(err error) error {
	err = d.failed(err)
	if code := sqliteCode(err); code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB {
		return fmt.Errorf("%w (the Parquet files below %s and %s can be read without it)", err, d.path(string(flowKind)), d.path(string(windowKind)))
	}
	return err
}

// failed names the file of an error of the database, and says in the words of this package what
// others may act on.
func (d *Disk) failed(err error) error { return d.failedIn(database, err) }

// failedIn is failed for one of the databases.
func (d *Disk) failedIn(name string, err error) error {
	if err == nil {
		return nil
	}
	where := d.path(name)
	var path *fs.PathError
	if errors.As(err, &path) {
		where = d.dir // the error has the file's name
	}
	switch code := sqliteCode(err); {
	case code == sqlite3.SQLITE_FULL, errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("store %s: %w: %w", where, ErrFull, err)
	case code == sqlite3.SQLITE_BUSY, code == sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("store %s: %w: %w", where, ErrLocked, err)
	}
	return fmt.Errorf("store %s: %w", where, err)
}

// sqliteCode returns the primary result code of SQLite in an error, 0 when there is none.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// Close ends the use of the store.
func (d *Disk) Close() error { return d.failed(d.read.Close()) }

// Options of a DiskWriter. The zero Options are the ones to use.
type Options struct {
	// SegmentRows is how many rows a segment holds at most, and seals it before its hour is over. 0: 131,072,
	// of which flows take some 30 MB of memory while they are sealed.
	SegmentRows int64
	// SparseRows is how many rows are worth a segment at the end of their hour; fewer wait for the
	// end of the day. 0: 1,024.
	SparseRows int64
}

// DiskWriter is a store in a directory, for writing and reading. There is one at a time.
type DiskWriter struct {
	*Disk
	opts     Options
	write    *sql.DB // one connection
	lock     *os.File
	models   map[string]int64
	source   int64 // that Append is about
	newest   int64 // microseconds; time of the stream
	done     bool
	open     openIncident
	sealed   uint64 // segments so far
	retained int64  // hour that the policy was last asked in, microseconds
	pending  map[kind]pendingState
	rows     [len(kinds)]batchWriter // used again
	tried    batchWriter             // the same, of what models on trial said
	samples  sampleWriter
}

// openIncident is the incident that the next alert of the source may join.
type openIncident struct {
	id        int64
	state     anomaly.Incident
	peakAlert int64
}

// pendingState is what waits for a segment.
type pendingState struct {
	rows int64
	told int64 // time of the stream when the oldest came, microseconds
}

// maxUnsealed is how many segments' worth of rows may wait when sealing fails, before Append refuses
// more.
const maxUnsealed = 8

// Create opens a store for writing, and makes it where there is none. It returns ErrInUse when
// another process writes to it.
func Create(dir string, opts Options) (*DiskWriter, error) {
	if opts.SegmentRows == 0 {
		opts.SegmentRows = 1 << 17
	}
	if opts.SparseRows == 0 {
		opts.SparseRows = 1 << 10
	}
	w := &DiskWriter{Disk: &Disk{dir: dir}, opts: opts, models: map[string]int64{}, pending: map[kind]pendingState{}, retained: noTime}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, w.failed(err)
	}
	if err := w.start(context.Background()); err != nil {
		w.stop()
		return nil, err
	}
	return w, nil
}

func (w *DiskWriter) start(ctx context.Context) (err error) {
	if w.lock, err = lock.File(w.path("lock")); err != nil {
		return fmt.Errorf("store %s: %w", w.dir, err)
	}
	if err := w.makeDatabase(ctx); err != nil {
		return err
	}
	w.write, err = w.connect("rw", url.Values{"_synchronous": {"FULL"}, "_txlock": {"immediate"}, "_pragma": {"journal_size_limit(16777216)"}})
	if err != nil {
		return err
	}
	w.write.SetMaxOpenConns(1)
	if w.read, err = w.connect("ro", url.Values{"_query_only": {"1"}}); err != nil {
		return err
	}
	if err := w.check(ctx); err != nil {
		return err
	}
	if err := upgrade(ctx, w.write); err != nil {
		return w.damaged(err)
	}
	if err := w.sweep(ctx); err != nil {
		return err
	}
	return w.restore(ctx)
}

// makeDatabase makes the database where there is none, whole or not at all: what a kill leaves behind
// has another name.
func (w *DiskWriter) makeDatabase(ctx context.Context) error {
	if _, err := os.Stat(w.path(database)); !errors.Is(err, fs.ErrNotExist) {
		return w.failed(err)
	}
	for _, k := range kinds { // sweep would take them for what a kill left
		if names, _ := w.segmentFiles(k); len(names) > 0 {
			return fmt.Errorf("store %s: there are segments but no %s: bring it back, or move %s and %s away", w.dir, database, flowKind, windowKind)
		}
	}
	hidden := &Disk{dir: w.path(".new")}
	if err := errors.Join(os.RemoveAll(hidden.dir), os.Mkdir(hidden.dir, 0o777)); err != nil {
		return w.failed(err)
	}
	db, err := hidden.connect("rwc", url.Values{"_auto_vacuum": {"INCREMENTAL"}, "_journal_mode": {"WAL"}, "_synchronous": {"FULL"}})
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d; BEGIN;%sCOMMIT", applicationID, schemaVersion, schema+exclusionSchema+triedSchema))
	if err = errors.Join(err, db.Close()); err != nil { // Close moves all that is in the log into the database
		return hidden.failed(err)
	}
	err = os.Rename(hidden.path(database), w.path(database))
	return w.failed(errors.Join(err, syncDir(w.dir), os.RemoveAll(hidden.dir)))
}

// sweep removes the files that no manifest names: what a kill left of a segment that was being
// written or removed.
func (w *DiskWriter) sweep(ctx context.Context) error {
	known := map[string]bool{}
	rows, err := w.write.QueryContext(ctx, "SELECT file FROM segments")
	if err != nil {
		return w.damaged(err)
	}
	defer rows.Close()
	for rows.Next() {
		var file string
		if err := rows.Scan(&file); err != nil {
			return w.damaged(err)
		}
		known[file] = true
	}
	if err := rows.Err(); err != nil {
		return w.damaged(err)
	}
	for _, k := range kinds {
		names, err := w.segmentFiles(k)
		if err != nil {
			return w.failed(err)
		}
		for _, name := range names {
			if !known[name] {
				if err := os.Remove(w.path(name)); err != nil {
					return w.failed(err)
				}
			}
		}
	}
	return nil
}

// segmentName matches the names that segments have, and what they are called until they are whole.
var segmentName = regexp.MustCompile(`^(\d{8}T\d\d-\d{6,}\.parquet|\.\d{8}T\d\d-\d{6,}\.parquet\.new)$`)

// segmentFiles returns the files of segments of a kind that are there, as the manifest names them.
func (w *DiskWriter) segmentFiles(k kind) ([]string, error) {
	entries, err := os.ReadDir(w.path(string(k)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if segmentName.MatchString(e.Name()) {
			names = append(names, string(k)+"/"+e.Name())
		}
	}
	return names, nil
}

// restore reads what the writer keeps in mind.
func (w *DiskWriter) restore(ctx context.Context) error {
	rows, err := w.write.QueryContext(ctx, "SELECT kind, sum(count), min(told) FROM pending GROUP BY kind")
	if err != nil {
		return w.damaged(err)
	}
	defer rows.Close()
	for rows.Next() {
		var k kind
		var p pendingState
		if err := rows.Scan(&k, &p.rows, &p.told); err != nil {
			return w.damaged(err)
		}
		w.pending[k] = p
	}
	return w.damaged(rows.Err())
}

func (w *DiskWriter) stop() error {
	var err error
	if w.read != nil {
		err = w.read.Close()
	}
	if w.write != nil {
		err = errors.Join(err, w.write.Close())
	}
	err = errors.Join(err, w.samples.close())
	if w.lock != nil {
		err = errors.Join(err, w.lock.Close())
	}
	return w.failed(err)
}

// Close ends the use of the store. What waits for a segment stays where it is.
func (w *DiskWriter) Close() error { return w.stop() }

// tx does something in one transaction, all or nothing.
func (w *DiskWriter) tx(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := w.write.BeginTx(ctx, nil)
	if err != nil {
		return w.failed(err)
	}
	if err := do(tx); err != nil {
		tx.Rollback()
		return w.failed(err)
	}
	return w.failed(tx.Commit())
}

// noTime stands for no time in memory, as null does in the database.
const noTime = math.MinInt64

// time of the database as nanoseconds, 0 for null.
func nullTime(t sql.NullInt64) int64 {
	if !t.Valid {
		return 0
	}
	return nanos(t.Int64)
}
