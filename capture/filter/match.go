package filter

import "encoding/binary"

// Match reports whether the program passes a packet: data are its captured bytes, wireLen is its
// length on the wire. It allocates nothing. A load beyond data refuses the packet, whatever the
// rest of the program says, as in every kernel.
func (p *Program) Match(data []byte, wireLen int) bool { return run(p, data, uint32(wireLen)) != 0 }

// run returns how many bytes of a packet the program passes.
func run(p *Program, data []byte, wireLen uint32) uint32 {
	var a, x uint32
	var m [memWords]uint32
	code := p.raw
	for i := 0; i < len(code); i++ {
		in := &code[i]
		k := in.K
		switch in.Op {
		case opLoadHalf:
			if uint64(k)+2 > uint64(len(data)) {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(data[k:]))
		case opLoadByte:
			if uint64(k) >= uint64(len(data)) {
				return 0
			}
			a = uint32(data[k])
		case opLoadWord:
			if uint64(k)+4 > uint64(len(data)) {
				if k < metadata {
					return 0
				}
				a = 0 // no tag in the metadata of captures
				break
			}
			a = binary.BigEndian.Uint32(data[k:])
		case opLoadHalfX:
			k += x
			if uint64(k)+2 > uint64(len(data)) {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(data[k:]))
		case opLoadByteX:
			k += x
			if uint64(k) >= uint64(len(data)) {
				return 0
			}
			a = uint32(data[k])
		case opLoadWordX:
			k += x
			if uint64(k)+4 > uint64(len(data)) {
				return 0
			}
			a = binary.BigEndian.Uint32(data[k:])
		case opLoadHeaderX:
			if uint64(k) >= uint64(len(data)) {
				return 0
			}
			x = uint32(data[k]&0x0f) * 4
		case opJumpEqual:
			if a == k {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case opJumpBits:
			if a&k != 0 {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case opJumpGreater:
			if a > k {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case opJumpAtLeast:
			if a >= k {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case opJumpEqual | fromX:
			if a == x {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case opJumpBits | fromX:
			if a&x != 0 {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case opJumpGreater | fromX:
			if a > x {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case opJumpAtLeast | fromX:
			if a >= x {
				i += int(in.Jt)
			} else {
				i += int(in.Jf)
			}
		case opJump:
			i += int(k)
		case opReturn:
			return k
		case opReturnA:
			return a
		case opLoadConst:
			a = k
		case opLoadMem:
			a = m[k&(memWords-1)]
		case opLoadLen:
			a = wireLen
		case opLoadConstX:
			x = k
		case opLoadMemX:
			x = m[k&(memWords-1)]
		case opLoadLenX:
			x = wireLen
		case opStore:
			m[k&(memWords-1)] = a
		case opStoreX:
			m[k&(memWords-1)] = x
		case opAToX:
			x = a
		case opXToA:
			a = x
		case opNegate:
			a = -a
		case opAdd:
			a += k
		case opSub:
			a -= k
		case opMul:
			a *= k
		case opOr:
			a |= k
		case opAnd:
			a &= k
		case opXor:
			a ^= k
		case opShiftLeft:
			a <<= k
		case opShiftRight:
			a >>= k
		case opDiv:
			a /= k // newProgram refuses zero
		case opMod:
			a %= k
		case opAdd | fromX:
			a += x
		case opSub | fromX:
			a -= x
		case opMul | fromX:
			a *= x
		case opOr | fromX:
			a |= x
		case opAnd | fromX:
			a &= x
		case opXor | fromX:
			a ^= x
		case opShiftLeft | fromX:
			a <<= x // 0 from 32 on
		case opShiftRight | fromX:
			a >>= x
		case opDiv | fromX:
			if x == 0 {
				return 0
			}
			a /= x
		case opMod | fromX:
			if x == 0 {
				return 0
			}
			a %= x
		}
	}
	return 0
}
