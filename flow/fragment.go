package flow

import (
	"time"

	"github.com/weirnet/weir/packet"
)

// reassemblyTime is how far in time a fragment may be from the first one of its packet: what Linux
// waits (ipfrag_time), between the 15 s of RFC 791 and the 60 s of RFC 8200.
const reassemblyTime = int64(30 * time.Second)

// datagram names the packet that fragments are parts of, RFC 791 section 2.3. In IPv6 the protocol
// is not part of the name, RFC 8200 section 4.5: Proto is 0.
type datagram struct {
	src, dst       packet.Addr
	id             uint32
	version, proto uint8
}

// fragments remembers the flows of first fragments, the latest limit of them, for the later
// fragments to join.
type fragments struct {
	limit  int
	places map[datagram]int // into firsts
	firsts []firstFragment  // a ring once it has grown to limit
	oldest int
}

func newFragments(limit int) fragments {
	return fragments{limit: limit, places: make(map[datagram]int)}
}

type firstFragment struct {
	of    datagram
	key   Key // of the flow, in the fragment's direction
	nanos int64
}

// key returns the key of a fragment that came at nanos: for a later fragment, that of its first.
func (c *fragments) key(h *packet.Headers, nanos int64, stats *Stats) Key {
	of := datagram{src: h.Src, dst: h.Dst, id: h.FragID, version: h.Version}
	if h.Version == 4 {
		of.proto = h.Proto
	}
	key := KeyOf(h)
	place, known := c.places[of]
	if h.Has&packet.LaterFragment != 0 {
		if known && near(c.firsts[place].nanos, nanos) {
			stats.FragmentsJoined++
			return c.firsts[place].key
		}
		stats.FragmentsAlone++
		return key
	}
	first := firstFragment{of: of, key: key, nanos: nanos}
	switch {
	case known:
		c.firsts[place] = first
	case len(c.firsts) < c.limit:
		c.places[of] = len(c.firsts)
		c.firsts = append(c.firsts, first)
	default:
		if near(c.firsts[c.oldest].nanos, nanos) {
			stats.FragmentsEvicted++
		}
		delete(c.places, c.firsts[c.oldest].of)
		c.places[of] = c.oldest
		c.firsts[c.oldest] = first
		c.oldest = (c.oldest + 1) % c.limit
	}
	return key
}

// near reports whether two times are close enough for fragments of one packet.
func near(a, b int64) bool { return max(elapsed(a, b), elapsed(b, a)) < reassemblyTime }

// Keys gives packets the keys of their flows without a table: to a later fragment that of its first.
// It is used by one goroutine.
type Keys struct {
	fragments fragments
	stats     Stats
}

// NewKeys returns Keys that remember as many first fragments as a Table does by default.
func NewKeys() *Keys {
	return &Keys{fragments: newFragments(Config{}.withDefaults().FragmentCache)}
}

// Key returns the key of a packet's flow, in the packet's direction; nanos is the packet's time. The
// headers must be those of an IP packet.
func (k *Keys) Key(h *packet.Headers, nanos int64) Key {
	if h.Has&packet.Fragment == 0 {
		return KeyOf(h)
	}
	return k.fragments.key(h, nanos, &k.stats)
}
