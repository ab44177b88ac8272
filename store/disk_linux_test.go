package store_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

// Whoever may read a store's files but not write them can ask it all questions, and is told why a
// verdict cannot be noted.
func TestReadOnly(t *testing.T) {
	w := create(t, t.TempDir(), small)
	fill(t, w, storetest.NewGenerator(1, 10).Take(2000), true)
	want := mustRead(t, w)
	must(t, w.Close())
	must(t, os.Chmod(w.Dir(), 0o755))
	must(t, os.Chmod(filepath.Dir(w.Dir()), 0o755))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Getuid() == 0 {
			runtime.LockOSThread() // to the end: the thread goes with its rights
			unix.Setfsuid(65534)
		} else {
			must(t, os.Chmod(w.Dir(), 0o555))
			defer os.Chmod(w.Dir(), 0o755)
		}
		r, err := store.Open(w.Dir())
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		got, errs := read(r, store.FlowQuery{})
		if len(errs) > 0 || !sameFlows(got, want) {
			t.Errorf("%d flows, want %d; %v", len(got), len(want), errs)
		}
		if _, err := r.Incidents(ctx, store.IncidentQuery{}); err != nil {
			t.Error(err)
		}
		if os.Getuid() == 0 { // other users' files
			wantError(t, r.Triage(ctx, store.ID{Incident: 1}, store.Triage{Verdict: store.Confirmed}), "weir.db", "readonly")
		}
	}()
	<-done
}
