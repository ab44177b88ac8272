package flow

import "testing"

// TestFindTagZero looks for a flow whose tag is that of empty places: behind another one in its bucket,
// before places that are empty.
func TestFindTagZero(t *testing.T) {
	table := New(Config{})
	defer table.Close()
	var zero uint32
	for _, tag := range []uint32{numBuckets, 0} {
		n := table.take(0)
		c := table.cell(n)
		c.addrs, c.rest = uint64(tag), uint64(Ports)<<kind
		if !table.index.insert(uint64(tag)<<32, n) {
			t.Fatal("the page is full")
		}
		zero = n
	}
	id := ident{0, uint64(Ports) << kind}
	if got := table.find(0, &id, ends{}); got != zero {
		t.Errorf("found cell %d, want %d", got, zero)
	}
	id.addrs = 1
	if got := table.find(0, &id, ends{}); got != 0 {
		t.Errorf("found cell %d of another flow", got)
	}
}
