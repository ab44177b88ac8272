package flow

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

func TestLayout(t *testing.T) {
	for name, got := range map[string]uintptr{
		"cell": unsafe.Sizeof(cell{}), "side cell": unsafe.Sizeof(side{}), "long cell": unsafe.Sizeof(long{}), "bucket": unsafe.Sizeof(bucket{}),
	} {
		if got != 64 {
			t.Errorf("a %s has %d bytes, want those of a cache line: 64", name, got)
		}
	}
	if got := unsafe.Sizeof(page{}); got != pageSize || pieceLen%got != 0 {
		t.Errorf("a page has %d bytes, want %d, a part of %d", got, pageSize, pieceLen)
	}
	if got := chunkCells * cellLen; got != pieceLen || 1<<chunkBits != chunkCells {
		t.Errorf("a chunk has %d bytes, want %d", got, pieceLen)
	}
}

// checkIndex looks at everything that must hold of an index whose entries are known.
func checkIndex(t *testing.T, x *index, entries map[uint32]uint64) {
	t.Helper()
	sum, named := 0, map[uint32]int{}
	for _, n := range x.directory {
		named[n]++
	}
	for n := range x.info {
		if want := 1 << (64 - x.shift - x.info[n].depth); named[uint32(n)] != want {
			t.Fatalf("the directory names page %d %d times, want %d", n, named[uint32(n)], want)
		}
		p, count := x.page(uint32(n)), 0
		for b := range p {
			full := true
			for i, cell := range p[b].cells {
				if cell == 0 {
					full = false
					if p[b].tag(i) != 0 {
						t.Fatalf("page %d, bucket %d: an empty place has the tag %#x", n, b, p[b].tag(i))
					}
					continue
				}
				tag := p[b].tag(i)
				switch hash, ok := entries[cell]; {
				case !full:
					t.Fatalf("page %d, bucket %d: an entry behind an empty place", n, b)
				case !ok || tagOf(hash) != tag || x.pageOf(hash) != uint32(n):
					t.Fatalf("page %d, bucket %d: entry %#x of cell %d, whose hash is %#x", n, b, tag, cell, hash)
				}
				for home := tag % numBuckets; home != uint32(b); home = (home + 1) % numBuckets {
					if p[home].cells[bucketLen-1] == 0 {
						t.Fatalf("page %d, bucket %d: an entry past bucket %d, which is not full", n, b, home)
					}
				}
				count++
			}
		}
		if count != int(x.info[n].entries) {
			t.Fatalf("page %d counts %d entries and has %d", n, x.info[n].entries, count)
		}
		sum += count
	}
	if sum != len(entries) {
		t.Fatalf("%d entries in the index, want %d", sum, len(entries))
	}
}

// TestIndexAgreesWithMap inserts and removes at random. Masks make hashes alike, so that buckets run
// over, entries are displaced far and pages fill.
func TestIndexAgreesWithMap(t *testing.T) {
	for name, mask := range map[string]uint64{
		"random hashes":  ^uint64(0),
		"few buckets":    ^uint64(0xfc << 32),
		"a few tags":     0x8000_0007 << 32,
		"one page":       1<<56 - 1,
		"the last pages": 0xffff_ff00_0000_0000, // of depth 24
	} {
		m := new(memory)
		x := newIndex(5, m)
		rng := rand.New(rand.NewPCG(1, mask))
		entries := map[uint32]uint64{}
		var cells []uint32
		refused := 0
		for i := range uint32(60_000) {
			if grows := i < 30_000; rng.IntN(4) == 0 == grows && len(cells) > 0 {
				k := rng.IntN(len(cells))
				x.remove(tagOf(entries[cells[k]]), cells[k])
				delete(entries, cells[k])
				cells[k] = cells[len(cells)-1]
				cells = cells[:len(cells)-1]
			} else if hash := rng.Uint64() & mask; x.insert(hash, i+1) {
				entries[i+1] = hash
				cells = append(cells, i+1)
			} else {
				refused++
			}
			if i%5000 == 0 {
				checkIndex(t, &x, entries)
			}
		}
		checkIndex(t, &x, entries)
		if full := name == "a few tags" || name == "one page"; full != (refused > 0) {
			t.Errorf("%s: %d insertions refused", name, refused)
		}
		m.free()
	}
}

// TestBucketLook compares the search without branches with one that has them.
func TestBucketLook(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	tags := []uint32{0, 1, 2, 1 << 31, 1<<31 + 1, ^uint32(0), 0x7fff_ffff}
	for range 100_000 {
		var b bucket
		n := rng.IntN(bucketLen + 1)
		for i := range n {
			b.set(i, tags[rng.IntN(len(tags))], uint32(i+1))
		}
		for _, tag := range tags {
			want := map[uint32]bool{}
			for i, cell := range b.cells {
				if b.tag(i) == tag {
					want[cell] = true // 0 where the place is empty
				}
			}
			if len(want) == 0 {
				want[0] = true
			}
			if got := b.look(tag); !want[got] {
				t.Fatalf("look(%#x) in %#x found cell %d, want one of %v", tag, b.tags, got, want)
			}
		}
	}
}
