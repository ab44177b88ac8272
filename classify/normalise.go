package classify

import "bytes"

// Normaliser turns the captured payload of a packet into the bytes that the networks see.
// Training and serving use the same one; its settings are stored in the model.
type Normaliser struct {
	Bytes    int  `json:"bytes"`    // length of the output; zeros after the end
	Collapse bool `json:"collapse"` // identifiers become one byte and what follows moves left
	Runs     bool `json:"runs"`     // a run of equal bytes keeps its first four
	DHCP     bool `json:"dhcp"`     // hardware address and client identifier become zeros
}

// identifier is the byte that stands for a collapsed identifier.
const identifier = 0x01

// keepRun is how many bytes of a run of equal bytes Runs keeps.
const keepRun = 4

// Classes of bytes that identifiers are made of, and how long a run must be to be one. Tokens
// whose length changes from day to day would move all later text, and a network would learn
// the day: collapsing them raised validation accuracy from 0.61 to 0.79 (docs/rationale.md).
const (
	hexDigit    = 1 << iota // at least 8: hashes, UUID parts, serial numbers
	digitOrDot              // at least 7: IPv4 addresses, times, numbers
	hexOrJoiner             // at least 11: MAC and IPv6 addresses, UUIDs
)

var identifierClass = func() (class [256]uint8) {
	for c := '0'; c <= '9'; c++ {
		class[c] = hexDigit | digitOrDot | hexOrJoiner
	}
	for _, c := range "abcdefABCDEF" {
		class[c] = hexDigit | hexOrJoiner
	}
	class['.'] = digitOrDot
	class[':'], class['-'] = hexOrJoiner, hexOrJoiner
	return class
}()

// Apply writes the normalised payload to dst, which is n.Bytes long, and returns how many of
// its bytes are payload; the rest is zero. It does not keep or change payload.
func (n *Normaliser) Apply(dst, payload []byte) int {
	used := apply(n, dst[:n.Bytes], payload)
	clear(dst[used:n.Bytes])
	return used
}

// apply is Apply for bytes in memory of any width, without the zeros behind them.
func apply[T byte | uint16](n *Normaliser, dst []T, payload []byte) int {
	var zeroed spans
	if n.DHCP {
		zeroed = dhcpIdentifiers(payload)
	}
	out := 0
	run := 0 // bytes equal to the last one written, that one included
	for i := 0; i < len(payload) && out < len(dst); {
		c := payload[i]
		if zeroed.has(i) {
			c = 0
		} else if n.Collapse && mayBeIdentifier(payload[i:]) {
			if length := identifierLen(payload[i:zeroed.next(i, len(payload))]); length > 0 {
				dst[out] = identifier
				out++
				i += length
				run = 0
				continue
			}
		}
		i++
		if n.Runs && run > 0 && dst[out-1] == T(c) {
			if run >= keepRun {
				continue
			}
			run++
		} else {
			run = 1
		}
		dst[out] = T(c)
		out++
	}
	return out
}

// mayBeIdentifier reports whether b can begin with an identifier: the shortest has seven bytes of one class. Most
// bytes that are of a class are told apart here.
func mayBeIdentifier(b []byte) bool {
	class := identifierClass[b[0]]
	return class != 0 && len(b) >= 7 && class&identifierClass[b[1]]&identifierClass[b[3]]&identifierClass[b[6]] != 0
}

// identifierLen returns the length of the longest identifier that b starts with, 0 for none.
func identifierLen(b []byte) int {
	longest := 0
	class := uint8(hexDigit | digitOrDot | hexOrJoiner)
	for i := 0; ; i++ {
		still := uint8(0)
		if i < len(b) {
			still = class & identifierClass[b[i]]
		}
		ended := class &^ still
		if ended&hexDigit != 0 && i >= 8 || ended&digitOrDot != 0 && i >= 7 || ended&hexOrJoiner != 0 && i >= 11 {
			longest = i
		}
		if still == 0 {
			return longest
		}
		class = still
	}
}

// spans are two ranges of offsets, the second after the first; their ends are excluded.
type spans [2]struct{ from, to int }

func (s *spans) has(i int) bool {
	return i >= s[0].from && i < s[0].to || i >= s[1].from && i < s[1].to
}

// next returns where the next range after i begins, at most end.
func (s *spans) next(i, end int) int {
	for _, r := range s {
		if r.from > i {
			return min(r.from, end)
		}
	}
	return end
}

// dhcpIdentifiers finds the client's hardware address and its client identifier (option 61) in
// a DHCP message, RFC 2131 section 2 and RFC 2132 section 9.14; empty spans in anything else.
// It goes by the magic cookie, since payload images have no ports.
func dhcpIdentifiers(payload []byte) (ids spans) {
	const chaddr, sname, cookie, options = 28, 44, 236, 240
	if len(payload) < options || !bytes.Equal(payload[cookie:options], []byte{0x63, 0x82, 0x53, 0x63}) {
		return ids
	}
	ids[0].from, ids[0].to = chaddr, sname
	for i := options; i+1 < len(payload); {
		switch code, length := payload[i], int(payload[i+1]); code {
		case 0:
			i++
		case 255:
			return ids
		case 61:
			ids[1].from, ids[1].to = i+2, i+2+length
			return ids
		default:
			i += 2 + length
		}
	}
	return ids
}
