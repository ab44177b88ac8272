package flow

import (
	"math"
	"math/bits"
)

// index finds cells by hash: a directory of pages by the first bits of the hash, and in a page buckets
// of one cache line by later bits. A page that fills up is split in two, so no insertion moves more
// than the entries of one page, however many flows there are (extendible hashing: Fagin, Nievergelt,
// Pippenger and Strong 1979).
type index struct {
	directory []uint32 // pages, by the first depth bits of the hash
	shift     uint8    // 64 - depth
	maxDepth  uint8
	memory    *memory
	pages     []*[pagesPerPiece]page
	info      []pageInfo
	old       page // scratch
}

// page holds entries: the number of a cell, not 0, and the upper half of its hash. An entry lies in the
// bucket that the lowest bits of the half name or, when that is full, in the next one that is not.
// Buckets fill from their first place on.
type page [numBuckets]bucket

// bucket is a cache line of entries: their halves of the hash, two to a word, and their cells.
type bucket struct {
	tags  [bucketLen / 2]uint64
	cells [bucketLen]uint32
}

func (b *bucket) tag(i int) uint32 { return uint32(b.tags[i/2] >> (i % 2 * 32)) }

func (b *bucket) set(i int, tag, cell uint32) {
	shift := i % 2 * 32
	b.tags[i/2] = b.tags[i/2]&^(math.MaxUint32<<shift) | uint64(tag)<<shift
	b.cells[i] = cell
}

// look returns the cell of an entry with a tag, 0 without one. It has no branches, which the processor
// would guess wrong.
func (b *bucket) look(tag uint32) uint32 {
	const ones, tops = 1<<32 | 1, 1<<63 | 1<<31
	both := uint64(tag) * ones
	var found uint64 // a bit for each entry: those in lower halves of words first
	for i := range b.tags {
		// A half that is 0 gets its top bit (Mycroft 1987); so may the upper one above a lower that is
		// 0, but the lower is found first.
		x := b.tags[i] ^ both
		found |= (x - ones) &^ x & tops >> 31 << i
	}
	at := bits.TrailingZeros64(found)
	return b.cells[at%8*2%bucketLen+at>>5&1] & -uint32(found>>at&1)
}

// pageInfo is what is known of a page beside it.
type pageInfo struct {
	entries uint16
	depth   uint8 // leading bits of the hash that all entries share
}

const (
	pageLen       = 2048 // entries
	bucketLen     = 8
	numBuckets    = pageLen / bucketLen
	splitAt       = pageLen * 4 / 5 // entries
	pageSize      = 8 * pageLen     // bytes
	pagesPerPiece = pieceLen / pageSize
	deepest       = 24 // the eight bits of a tag that are left name the bucket
)

func newIndex(maxDepth uint8, m *memory) index {
	x := index{maxDepth: maxDepth, memory: m, shift: 63}
	x.directory = []uint32{x.newPage(1), x.newPage(1)}
	return x
}

func (x *index) newPage(depth uint8) uint32 {
	n := len(x.info)
	if n/pagesPerPiece == len(x.pages) {
		x.pages = append(x.pages, as[[pagesPerPiece]page](x.memory.piece(pieceLen, n > 0)))
	}
	x.info = append(x.info, pageInfo{depth: depth})
	return uint32(n)
}

// pageOf returns the number of the page of a hash.
func (x *index) pageOf(hash uint64) uint32 { return x.directory[hash>>(x.shift&63)] }

// home returns the bucket where the entry of a hash belongs.
func (x *index) home(hash uint64) *bucket { return x.page(x.pageOf(hash)).home(tagOf(hash)) }

func (x *index) page(n uint32) *page { return &x.pages[n/pagesPerPiece][n%pagesPerPiece] }

// tagOf returns the half of a hash that entries hold.
func tagOf(hash uint64) uint32 { return uint32(hash >> 32) }

// home returns the bucket of a page where the entries with a tag belong.
func (p *page) home(tag uint32) *bucket { return &p[tag%numBuckets] }

// insert adds an entry. It reports false when the page is full and cannot be split: 2048 flows that
// share the first bits of a keyed hash.
func (x *index) insert(hash uint64, cell uint32) bool {
	n := x.pageOf(hash)
	for x.info[n].entries >= splitAt && x.info[n].depth < x.maxDepth {
		x.split(n, hash)
		n = x.pageOf(hash)
	}
	if x.info[n].entries == pageLen {
		return false
	}
	x.info[n].entries++
	x.page(n).put(tagOf(hash), cell)
	return true
}

func (p *page) put(tag, cell uint32) {
	for at := tag; ; at++ {
		b := p.home(at)
		for i := range b.cells {
			if b.cells[i] == 0 {
				b.set(i, tag, cell)
				return
			}
		}
	}
}

// split moves the entries of a page whose next bit is set to a new one; hash is that of any of its entries.
func (x *index) split(n uint32, hash uint64) {
	depth := x.info[n].depth
	if 64-x.shift == depth {
		twice := make([]uint32, 2*len(x.directory))
		for i, page := range x.directory {
			twice[2*i], twice[2*i+1] = page, page
		}
		x.directory = twice
		x.shift--
	}
	m := x.newPage(depth + 1)
	x.info[n] = pageInfo{depth: depth + 1}
	span := 1 << (64 - x.shift - depth) // places of the directory that name the page
	first := int(hash>>(64-depth)) * span
	for i := first + span/2; i < first+span; i++ {
		x.directory[i] = m
	}
	x.old = *x.page(n)
	*x.page(n) = page{}
	for b := range x.old {
		for i, cell := range x.old[b].cells {
			if cell == 0 {
				break
			}
			to, tag := n, x.old[b].tag(i)
			if tag<<depth>>31 != 0 {
				to = m
			}
			x.info[to].entries++
			x.page(to).put(tag, cell)
		}
	}
}

// remove takes the entry of a cell out. A tag names its page too, since no page is deeper than a tag is long.
func (x *index) remove(tag, cell uint32) {
	n := x.pageOf(uint64(tag) << 32)
	p := x.page(n)
	for distance := range uint32(numBuckets) {
		at := tag + distance
		for i, c := range p.home(at).cells {
			if c == cell {
				p.fill(at, i)
				x.info[n].entries--
				return
			}
		}
	}
	panic("flow: a flow is not in the index")
}

// fill closes the gap at a place of a bucket, so that again every entry lies in its bucket or behind
// full ones. (A mark in place of the entry would do too, but marks pile up.)
func (p *page) fill(at uint32, i int) {
	for {
		b := p.home(at)
		last := bucketLen - 1
		for b.cells[last] == 0 {
			last--
		}
		b.set(i, b.tag(last), b.cells[last])
		b.set(last, 0, 0)
		if last < bucketLen-1 {
			return // it was not full: nothing lies behind it
		}
		from, place := p.displaced(at)
		if place < 0 {
			return
		}
		b.set(last, p.home(from).tag(place), p.home(from).cells[place])
		at, i = from, place
	}
}

// displaced returns the bucket and the place there of an entry that lies behind a bucket, and would lie
// in it if it were not full; place is -1 when there is none.
func (p *page) displaced(bucket uint32) (at uint32, place int) {
	for distance := uint32(1); distance < numBuckets; distance++ {
		at := bucket + distance
		b := p.home(at)
		for i, cell := range b.cells {
			if cell == 0 {
				return 0, -1
			}
			if (at-b.tag(i))%numBuckets >= distance {
				return at, i
			}
		}
	}
	return 0, -1
}

// find returns the number of the cell that holds the flow of an ident with the hash, 0 when there is none.
func (t *Table) find(hash uint64, id *ident, e ends) uint32 {
	p, tag := t.index.page(t.index.pageOf(hash)), tagOf(hash)
	if b := p.home(tag); b.cells[bucketLen-1] == 0 { // not full: nothing lies behind it
		n := b.look(tag)
		if n != 0 && t.matches(t.cell(n), id, e) || n == 0 && tag != 0 { // empty places have tag 0 too
			return n
		}
	}
	for distance := range uint32(numBuckets) {
		b := p.home(tag + distance)
		for i, cell := range b.cells {
			if cell == 0 {
				return 0
			}
			if b.tag(i) == tag && t.matches(t.cell(cell), id, e) {
				return cell
			}
		}
	}
	return 0
}
