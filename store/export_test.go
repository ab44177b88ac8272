package store

import (
	"fmt"
	"net/url"
	"testing"
)

// LockDatabase locks the database as another process would, until unlock is called.
func LockDatabase(t *testing.T, w *DiskWriter) (unlock func()) {
	t.Helper()
	exec := func(statement string) {
		t.Helper()
		if _, err := w.write.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("PRAGMA busy_timeout = 1")
	other, err := w.connect("rw", url.Values{})
	if err != nil {
		t.Fatal(err)
	}
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		exec(fmt.Sprintf("PRAGMA busy_timeout = %d", lockWait.Milliseconds()))
	}
}

// LimitDatabase lets the database grow no further, until grow is called.
func LimitDatabase(t *testing.T, w *DiskWriter) (grow func()) {
	t.Helper()
	limit := func(pages int64) {
		t.Helper()
		if _, err := w.write.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // that is: as many as there are
	return func() { limit(1 << 30) }
}
