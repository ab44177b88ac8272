package flow

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
)

// CommunityID returns the Community ID, version 1 with seed 0, of a flow by the key of either of
// its directions: https://github.com/corelight/community-id-spec. Other monitors give the same
// flow the same string.
func CommunityID(k Key) string { return string(AppendCommunityID(nil, k)) }

// AppendCommunityID appends what CommunityID returns.
func AppendCommunityID(dst []byte, k Key) []byte {
	k, _ = k.Canonical()
	addrLen := 4
	if k.Version == 6 {
		addrLen = 16
	}
	var buf [2 + 2*16 + 2 + 2*2]byte
	b := append(buf[:0], 0, 0) // seed
	b = append(b, k.Src[:addrLen]...)
	b = append(b, k.Dst[:addrLen]...)
	b = append(b, k.Proto, 0)
	switch k.Kind {
	case Ports, Query, OneWay:
		b = binary.BigEndian.AppendUint16(b, k.SrcPort)
		b = binary.BigEndian.AppendUint16(b, k.DstPort)
	case Fragments: // the specification has no identification: like a protocol without ports
		if string(k.Src[:]) > string(k.Dst[:]) {
			copy(b[2:], k.Dst[:addrLen])
			copy(b[2+addrLen:], k.Src[:addrLen])
		}
	}
	digest := sha1.Sum(b)
	return base64.StdEncoding.AppendEncode(append(dst, "1:"...), digest[:])
}
