package flow

import "github.com/weirnet/weir/packet"

// index finds cells by hash: a directory of pages by the first bits of the hash, and in a page buckets
// of one cache line by later bits. A page that fills up is split in two, so no insertion
// moves more than the 512 entries of a page, however many flows there are (extendible hashing: Fagin, Nievergelt, Pippenger
// and Strong 1979).
type index struct {
	directory []uint32 // pages, by the first depth bits of the hash
	shift     uint8    // 64 - depth
	maxDepth  uint8
	memory    *memory
	pages     []*[pagesPerPiece]page
	info      []pageInfo
	old       page // scratch
}

// page holds entries: the upper half of the hash above the number of a cell, or 0. An entry lies in the bucket
// that the lowest bits of the half name or, when that is full, in the next one that is
// not. Buckets fill from their first place on.
type page [pageLen]uint64

type pageInfo struct {
	entries uint16
	depth   uint8 // leading bits of the hash that all entries share
}

const (
	pageLen       = 512
	bucketLen     = 8
	numBuckets    = pageLen / bucketLen
	splitAt       = pageLen * 4 / 5 // entries
	pageSize      = 8 * pageLen     // bytes
	pagesPerPiece = pieceLen / pageSize
	deepest       = 26 // the six bits after name the bucket
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

func (x *index) page(n uint32) *page { return &x.pages[n/pagesPerPiece][n%pagesPerPiece] }

// bucketOf returns the number of the bucket where the entry of a hash belongs.
func bucketOf(hash uint64) uint64 { return hash >> 32 % numBuckets }

func (p *page) bucket(b uint64) *[bucketLen]uint64 {
	return (*[bucketLen]uint64)(p[b%numBuckets*bucketLen:])
}

func entryOf(hash uint64, cell uint32) uint64 { return hash&^(1<<32-1) | uint64(cell) }

// insert adds an entry. It reports false when the page is full and cannot be split: 512 flows
// that share the first bits of a keyed hash.
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
	x.page(n).put(entryOf(hash, cell))
	return true
}

func (p *page) put(entry uint64) {
	for b := bucketOf(entry); ; b++ {
		bucket := p.bucket(b)
		for i := range bucket {
			if bucket[i] == 0 {
				bucket[i] = entry
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
	for _, entry := range x.old {
		if entry == 0 {
			continue
		}
		to := n
		if entry<<depth>>63 != 0 {
			to = m
		}
		x.info[to].entries++
		x.page(to).put(entry)
	}
}

// remove takes an entry out.
func (x *index) remove(hash uint64, cell uint32) {
	n := x.pageOf(hash)
	x.info[n].entries--
	p, entry := x.page(n), entryOf(hash, cell)
	for b := bucketOf(hash); ; b++ {
		for i, e := range p.bucket(b) {
			if e == entry {
				p.fill(b%numBuckets, i)
				return
			}
		}
	}
}

// fill closes the gap at a place of a bucket, so that again every entry lies in its bucket or behind
// full ones. (A mark in place of the entry would do too, but marks pile up.)
func (p *page) fill(b uint64, i int) {
	for {
		bucket := p.bucket(b)
		last := bucketLen - 1
		for bucket[last] == 0 {
			last--
		}
		bucket[i], bucket[last] = bucket[last], 0
		if last < bucketLen-1 {
			return // it was not full: nothing lies behind it
		}
		from, place := p.displaced(b)
		if place < 0 {
			return
		}
		bucket[last] = p.bucket(from)[place]
		b, i = from, place
	}
}

// displaced returns the bucket and the place there of an entry that lies behind bucket b, and
// would lie in it if it were not full; place is -1 when there is none.
func (p *page) displaced(b uint64) (bucket uint64, place int) {
	for distance := uint64(1); distance < numBuckets; distance++ {
		at := (b + distance) % numBuckets
		for i, entry := range p.bucket(at) {
			if entry == 0 {
				return 0, -1
			}
			if (at-bucketOf(entry))%numBuckets >= distance {
				return at, i
			}
		}
	}
	return 0, -1
}

// find returns the number of the cell that holds the flow of an ident with the hash, 0 when there is none.
func (t *Table) find(hash uint64, id *ident) uint32 {
	p := t.index.page(t.index.pageOf(hash))
	for b := range uint64(numBuckets) {
		for _, entry := range p.bucket(bucketOf(hash) + b) {
			if entry == 0 {
				return 0
			}
			if (entry^hash)>>32 == 0 && t.matches(t.cell(uint32(entry)), id) {
				return uint32(entry)
			}
		}
	}
	return 0
}

// Place is where in a table the flow of a packet is to be looked for: see Table.Fetch.
type Place struct {
	hash  uint64
	cell  uint32 // that probably is the flow's, 0: not known
	ended uint32 // flows that had ended when cell was found
}

// Place returns where the flow of a packet is to be looked for. It only reads what New has
// set, so any goroutine may call it.
func (t *Table) Place(h *packet.Headers) Place {
	if h.Version == 0 || h.Has&packet.Fragment != 0 {
		return Place{} // Update finds out about these
	}
	id, _ := identify(h, t.cfg.Directional)
	return Place{hash: id.hash(t.seed) & t.mask}
}

// Fetch brings into the processor's caches what Update will need for the places, all at once: in a table of
// millions of flows every one is far away in memory, and waiting for many takes little longer than
// for one. Some 64 are a good number. It changes nothing but the places, which stay good for any later Update.
func (t *Table) Fetch(places []Place) {
	x := &t.index
	var sum uint64 // of what is read, so that it is read
	for i := range places {
		hash := places[i].hash
		sum += x.page(x.pageOf(hash)).bucket(bucketOf(hash))[0]
	}
	for i := range places {
		// Without branches, which the processor would guess wrong.
		hash := places[i].hash
		var cell, alike uint64
		for _, entry := range x.page(x.pageOf(hash)).bucket(bucketOf(hash)) {
			same := ((entry^hash)>>32 - 1) >> 63 // 1 when the upper halves are the same
			alike += same
			cell |= entry & (1<<32 - 1) & -same
		}
		if alike != 1 {
			cell = 0 // Update will look
		}
		places[i].cell, places[i].ended = uint32(cell), t.ended
	}
	sides := false
	for i := range places {
		c := t.cell(places[i].cell)
		sum += uint64(c.side)
		sides = sides || c.what&isIPv6 != 0
	}
	if sides {
		for i := range places {
			sum += t.sideCell(t.cell(places[i].cell).side).salt
		}
	}
	t.fetched = sum
}
