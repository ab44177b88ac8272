package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/window"
)

// Exclusion says which alerts are not to be raised. All that is set must hold.
//
// The features of a window are sums: what a host had part in cannot be taken out of them again, and scores stay as they are.
// So an exclusion by host does not leave the host out of the windows; it suppresses alerts that are about the host: where it
// moved, as source or destination, half or more of the change of features that make up three quarters or more of the leading shares (see
// event.Mover). What else happened in such a window and makes up less than a quarter is suppressed with it. Suppressed alerts are
// stored, as such.
type Exclusion struct {
	ID   int64        // given by the store
	Host netip.Prefix // the zero Prefix: any
	Port uint16       // destination port, by which the same holds as by host; 0: any
	App  string       // label that moved half or more of the change in the number of packets; "": any
	// Feature has the largest share of the score; a feature and its share of the TCP packets are one: syn is syn_share too. "": any.
	// With Host or Port these must have moved that feature, whatever they moved besides.
	Feature  string
	From, To time.Duration // time of day in UTC that the window begins in; From may be later than To. Equal: any
	Until    int64         // time of windows from which it holds no more, nanoseconds since the Unix epoch; 0: it always holds
	Note     string
	Who      string
	At       int64 // when it was made, nanoseconds since the Unix epoch
	Alert    ID    // that it was made from; zero: from none

	Suppressed int64 // alerts that are stored as suppressed by it
}

// Parts of a match.
const (
	movedPart     = 0.5  // of a feature's change, to have moved it
	explainedPart = 0.75 // of the leading shares
)

// Check reports what is wrong with an exclusion.
func (x *Exclusion) Check() error {
	switch {
	case !x.Host.IsValid() && x.Port == 0 && x.App == "" && x.Feature == "" && x.From == x.To:
		return errors.New("store: an exclusion of everything: name a host, port, application, feature or time of day")
	case x.Feature != "" && !slices.ContainsFunc(window.Names[:], func(name string) bool { return sameMatter(name, x.Feature) }):
		return fmt.Errorf("store: no feature %q", x.Feature)
	case x.From < 0 || x.To < 0 || x.From > 24*time.Hour || x.To > 24*time.Hour:
		return fmt.Errorf("store: no time of day from %v to %v", x.From, x.To)
	}
	return nil
}

func sameMatter(a, b string) bool {
	return strings.TrimSuffix(a, "_share") == strings.TrimSuffix(b, "_share")
}

// Matches reports whether the exclusion suppresses an alert.
func (x *Exclusion) Matches(a *event.Alert) bool {
	start := int64(a.Start)
	if x.Until != 0 && start >= x.Until || len(a.Features) == 0 || x.Feature != "" && !sameMatter(a.Features[0].Name, x.Feature) {
		return false
	}
	if x.From != x.To {
		at := time.Duration(start - floor(start, int64(24*time.Hour)))
		inside := at >= x.From && at < x.To
		if x.From > x.To {
			inside = at >= x.From || at < x.To
		}
		if !inside {
			return false
		}
	}
	if x.App != "" && !slices.ContainsFunc(a.Apps, func(m event.Mover) bool { return m.Name == x.App && m.Part >= movedPart }) {
		return false
	}
	if x.Host.IsValid() && x.explained(a, x.byHost) < explainedPart {
		return false
	}
	return x.Port == 0 || x.explained(a, x.byPort) >= explainedPart
}

func (x *Exclusion) byHost(m *event.Mover) bool {
	if m.By != "src_ip" && m.By != "dest_ip" {
		return false
	}
	addr, err := netip.ParseAddr(m.Name)
	return err == nil && x.Host.Contains(addr)
}

func (x *Exclusion) byPort(m *event.Mover) bool {
	return m.By == "dest_port" && m.Name == strconv.Itoa(int(x.Port))
}

// explained is the part of the leading shares whose features were moved by those that are meant.
func (x *Exclusion) explained(a *event.Alert, meant func(*event.Mover) bool) float64 {
	sum, of := 0.0, 0.0
	for i := range a.Features {
		f := &a.Features[i]
		if len(f.Movers) == 0 || x.Feature != "" && !sameMatter(f.Name, x.Feature) {
			continue
		}
		of += f.Share
		moved := map[string]float64{} // several hosts of a network add up, each way
		for j := range f.Movers {
			if m := &f.Movers[j]; meant(m) {
				if moved[m.By] += m.Part; moved[m.By] >= movedPart {
					sum += f.Share
					break
				}
			}
		}
	}
	if of == 0 {
		return 0
	}
	return sum / of
}

// Suppressed is an alert that an exclusion suppressed.
type Suppressed struct {
	Source string
	Alert  event.Alert // its Exclusion names which
}

// SuppressedQuery asks for the suppressed alerts whose windows start in the range.
type SuppressedQuery struct {
	Range
	Exclusion int64 // 0: any
}

// exclusionSchema is what layout 2 has beside layout 1.
const exclusionSchema = `
-- What is not to be raised as an alert.
CREATE TABLE IF NOT EXISTS exclusions (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	host     TEXT NOT NULL,              -- network, "" for any
	port     INTEGER NOT NULL,           -- 0 for any
	app      TEXT NOT NULL,
	feature  TEXT NOT NULL,
	start    INTEGER NOT NULL,           -- time of day, microseconds
	stop     INTEGER NOT NULL,
	until    INTEGER,                    -- null: for ever
	note     TEXT NOT NULL,
	who      TEXT NOT NULL,
	at       INTEGER NOT NULL,
	incident INTEGER NOT NULL,           -- that it was made from
	number   INTEGER NOT NULL
);
-- Alerts that were not raised.
CREATE TABLE IF NOT EXISTS suppressed (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	source    INTEGER NOT NULL,
	exclusion INTEGER NOT NULL,
	start     INTEGER NOT NULL,
	body      TEXT NOT NULL              -- the object "suppressed" of the event, JSON
);
CREATE INDEX IF NOT EXISTS suppressed_start ON suppressed (start);
CREATE INDEX IF NOT EXISTS suppressed_exclusion ON suppressed (exclusion);
`

// upgrade brings a database of an earlier layout to this one.
func upgrade(ctx context.Context, db *sql.DB) error {
	var version int64
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version >= schemaVersion {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("%sPRAGMA user_version = %d", exclusionSchema+triedSchema, schemaVersion)); err != nil {
		return err
	}
	return tx.Commit()
}

// edit changes something small, beside the one that writes.
func (d *Disk) edit(ctx context.Context, do func(*sql.DB) error) error {
	db, err := d.connect("rw", url.Values{"_synchronous": {"FULL"}, "_txlock": {"immediate"}})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := upgrade(ctx, db); err != nil {
		return d.damaged(err)
	}
	return do(db)
}

// Exclude implements Reader.
func (d *Disk) Exclude(ctx context.Context, x Exclusion) (id int64, err error) {
	if err := x.Check(); err != nil {
		return 0, err
	}
	host := ""
	if x.Host.IsValid() {
		host = x.Host.Masked().String()
	}
	var until any
	if x.Until != 0 {
		until = micros(x.Until)
	}
	err = d.edit(ctx, func(db *sql.DB) error {
		result, err := db.ExecContext(ctx, `INSERT INTO exclusions (host, port, app, feature, start, stop, until, note, who, at, incident, number)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, host, x.Port, text(x.App), x.Feature, x.From.Microseconds(), x.To.Microseconds(), until,
			text(x.Note), text(x.Who), micros(x.At), x.Alert.Incident, x.Alert.Alert)
		if err != nil {
			return d.damaged(err)
		}
		id, err = result.LastInsertId()
		return d.damaged(err)
	})
	return id, err
}

// RemoveExclusion implements Reader.
func (d *Disk) RemoveExclusion(ctx context.Context, id int64) error {
	return d.edit(ctx, func(db *sql.DB) error {
		result, err := db.ExecContext(ctx, "DELETE FROM exclusions WHERE id = ?", id)
		if err != nil {
			return d.damaged(err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("store: %w: %d", ErrNoExclusion, id))
		}
		return nil
	})
}

// exclusionLayout is the layout that first had exclusions.
const exclusionLayout = 2

// before reports whether the database is of a layout before another.
func before(ctx context.Context, tx *sql.Tx, layout int64) (bool, error) {
	var version int64
	err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version < layout, err
}

// Exclusions implements Reader.
func (d *Disk) Exclusions(ctx context.Context) ([]Exclusion, error) {
	var all []Exclusion
	err := d.view(ctx, func(tx *sql.Tx) error {
		if none, err := before(ctx, tx, exclusionLayout); none || err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT id, host, port, app, feature, start, stop, until, note, who, at, incident, number,
			(SELECT count(*) FROM suppressed WHERE exclusion = x.id) FROM exclusions x ORDER BY id`)
		return each(rows, err, func(rows *sql.Rows) error {
			var x Exclusion
			var host string
			var until sql.NullInt64
			if err := rows.Scan(&x.ID, &host, &x.Port, &x.App, &x.Feature, &x.From, &x.To, &until, &x.Note, &x.Who, &x.At,
				&x.Alert.Incident, &x.Alert.Alert, &x.Suppressed); err != nil {
				return err
			}
			if host != "" {
				var err error
				if x.Host, err = netip.ParsePrefix(host); err != nil {
					return fmt.Errorf("exclusion %d: %w", x.ID, err)
				}
			}
			x.From, x.To, x.Until, x.At = x.From*1000, x.To*1000, nullTime(until), nanos(x.At)
			all = append(all, x)
			return nil
		})
	})
	return all, err
}

// Suppressed implements Reader.
func (d *Disk) Suppressed(ctx context.Context, q SuppressedQuery) iter.Seq2[*Suppressed, error] {
	return func(yield func(*Suppressed, error) bool) {
		since, until := q.Range.micros()
		afterTime, afterID := int64(noTime), int64(0)
		for {
			var page []Suppressed
			err := d.view(ctx, func(tx *sql.Tx) error {
				if none, err := before(ctx, tx, exclusionLayout); none || err != nil {
					return err
				}
				rows, err := tx.QueryContext(ctx, `SELECT x.id, x.start, s.name, x.body FROM suppressed x JOIN sources s ON s.id = x.source
					WHERE x.start >= ?1 AND x.start < ?2 AND (?3 = 0 OR x.exclusion = ?3) AND (x.start, x.id) > (?4, ?5)
					ORDER BY x.start, x.id LIMIT ?6`, since, until, q.Exclusion, afterTime, afterID, alertPage)
				return each(rows, err, func(rows *sql.Rows) error {
					var one Suppressed
					var body string
					if err := rows.Scan(&afterID, &afterTime, &one.Source, &body); err != nil {
						return err
					}
					if err := json.Unmarshal([]byte(body), &one.Alert); err != nil {
						return fmt.Errorf("suppressed alert %d: %w", afterID, err)
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
				if !yield(&page[i], nil) {
					return
				}
			}
			if len(page) < alertPage {
				return
			}
		}
	}
}

// suppressed stores an alert that was not raised.
func (a *appending) suppressed(e *event.Alert) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = a.tx.ExecContext(a.ctx, "INSERT INTO suppressed (source, exclusion, start, body) VALUES (?, ?, ?, ?)",
		a.w.source, e.Exclusion, micros(int64(e.Start)), string(body))
	return err
}
