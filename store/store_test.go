package store_test

import (
	"testing"

	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

// small makes many segments of few events.
var small = store.Options{SegmentRows: 700, SparseRows: 50}

func create(t testing.TB, dir string, o store.Options) *store.DiskWriter {
	t.Helper()
	s, err := store.Create(dir, o)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDisk(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return create(t, t.TempDir(), small) })
}

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return storetest.NewMemory() })
}
