package store

import (
	"context"
	"database/sql"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
)

func TestExclusionMatches(t *testing.T) {
	score := 10.0
	scanner := func(by string, part float64) []event.Mover {
		return []event.Mover{{By: by, Name: "10.0.0.66", Part: part}}
	}
	alert := event.Alert{
		Window: event.Window{Start: event.Time(3 * time.Hour), Score: &score, Threshold: 1},
		Features: []event.Feature{
			{Name: "syn_share", Share: 6, Movers: append(scanner("src_ip", 0.6), event.Mover{By: "dest_port", Name: "22", Part: 0.9})},
			{Name: "rst", Share: 2, Movers: scanner("dest_ip", 0.5)},
			{Name: "udp", Share: 2, Movers: []event.Mover{{By: "src_ip", Name: "10.0.1.1", Part: 0.4}, {By: "src_ip", Name: "10.0.1.2", Part: 0.4}}},
			{Name: "ack", Share: 0.1},
		},
		Apps: []event.Mover{{By: "app", Name: "ssh", Part: 0.5}, {By: "app", Name: "dns", Part: 0.4}},
	}
	host := netip.MustParsePrefix
	for _, test := range []struct {
		what string
		x    Exclusion
		want bool
	}{
		{"the host moved four fifths of the leading shares", Exclusion{Host: host("10.0.0.66/32")}, true},
		{"a network that it is in", Exclusion{Host: host("10.0.0.0/24")}, true},
		{"another host", Exclusion{Host: host("10.0.0.67/32")}, false},
		{"hosts that moved one fifth, together", Exclusion{Host: host("10.0.1.0/24")}, false},
		{"all hosts", Exclusion{Host: host("0.0.0.0/0")}, true},
		{"an address of the other family", Exclusion{Host: host("::/0")}, false},
		{"a port that moved three fifths", Exclusion{Port: 22}, false},
		{"of the leading feature all", Exclusion{Port: 22, Feature: "syn"}, true},
		{"another port", Exclusion{Port: 23, Feature: "syn"}, false},
		{"a feature that leads", Exclusion{Feature: "syn"}, true},
		{"the same by its share", Exclusion{Feature: "syn_share"}, true},
		{"a feature that does not lead", Exclusion{Feature: "rst"}, false},
		{"host and feature", Exclusion{Host: host("10.0.0.66/32"), Feature: "syn"}, true},
		{"host and another feature", Exclusion{Host: host("10.0.0.66/32"), Feature: "rst"}, false},
		{"an application", Exclusion{App: "ssh"}, true},
		{"one that moved less than half", Exclusion{App: "dns"}, false},
		{"host and port, of which one does not hold", Exclusion{Host: host("10.0.0.66/32"), Port: 22}, false},
		{"the hour", Exclusion{From: 3 * time.Hour, To: 4 * time.Hour}, true},
		{"the hour before", Exclusion{From: 2 * time.Hour, To: 3 * time.Hour}, false},
		{"over midnight", Exclusion{From: 22 * time.Hour, To: 3*time.Hour + 1}, true},
		{"over midnight, not so long", Exclusion{From: 22 * time.Hour, To: 2 * time.Hour}, false},
		{"until later", Exclusion{Feature: "syn", Until: int64(3*time.Hour) + 1}, true},
		{"until then", Exclusion{Feature: "syn", Until: int64(3 * time.Hour)}, false},
	} {
		if got := test.x.Matches(&alert); got != test.want {
			t.Errorf("%s: %v", test.what, got)
		}
	}
	for _, x := range []Exclusion{{Host: host("0.0.0.0/0")}, {Port: 1}, {App: "x"}, {Feature: "syn"}} {
		if x.Matches(&event.Alert{}) {
			t.Errorf("%+v matches an alert that says nothing", x)
		}
	}
}

// A store of layout 1 is read as it is, and brought to this layout by whoever writes.
func TestLayoutOneIsUpgraded(t *testing.T) {
	ctx := context.Background()
	for _, by := range []string{"exclude", "create"} {
		dir := t.TempDir()
		w, err := Create(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", filepath.Join(dir, database))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("DROP TABLE exclusions; DROP TABLE suppressed; DROP TABLE tried; PRAGMA user_version = 1"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := d.Exclusions(ctx); err != nil || len(all) > 0 {
			t.Fatalf("layout 1: %v, %v", all, err)
		}
		for _, err := range d.Suppressed(ctx, SuppressedQuery{}) {
			t.Fatalf("layout 1 has suppressed alerts, %v", err)
		}
		for _, err := range d.Tried(ctx, Range{}) {
			t.Fatalf("layout 1 has models on trial, %v", err)
		}
		if by == "create" {
			w, err := Create(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Exclude(ctx, Exclusion{Port: 7}); err != nil {
			t.Fatal(err)
		}
		if all, err := d.Exclusions(ctx); err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		var version int
		if err := d.read.QueryRow("PRAGMA user_version").Scan(&version); err != nil || version != schemaVersion {
			t.Errorf("layout %d, %v", version, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
