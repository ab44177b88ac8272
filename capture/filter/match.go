package filter

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
)

// A step is an instruction, or a load from the packet and the comparison with k behind it in one: most
// programs are made of these. Steps stand where their first instructions do, so that jumps lead to the
// same places.
type step struct {
	op     uint16
	jt, jf uint8
	k      uint32
	at     uint32 // offset of the load of two in one
}

// Operations of two in one: that of the load with one of these.
const (
	thenEqual = 0x100
	thenBits  = 0x200
)

// steps makes the steps of a program.
func steps(raw []bpf.RawInstruction) []step {
	all := make([]step, len(raw))
	for i, in := range raw {
		all[i] = step{op: in.Op, jt: in.Jt, jf: in.Jf, k: in.K}
		if i+1 == len(raw) {
			break
		}
		then := uint16(0)
		switch next := raw[i+1].Op; in.Op {
		case opLoadHalf:
			if next == opJumpBits {
				then = thenBits
			}
			fallthrough
		case opLoadWord, opLoadByte, opLoadHalfX:
			if next == opJumpEqual {
				then = thenEqual
			}
		}
		if then != 0 && in.K < metadata {
			next := raw[i+1]
			all[i] = step{op: in.Op | then, jt: next.Jt, jf: next.Jf, k: next.K, at: in.K}
		}
	}
	return all
}

// Match reports whether the program passes a packet: data are its captured bytes, wireLen is its
// length on the wire. It allocates nothing. A load beyond data refuses the packet, whatever the
// rest of the program says, as in every kernel.
func (p *Program) Match(data []byte, wireLen int) bool { return run(p, data, uint32(wireLen)) != 0 }

// run returns how many bytes of a packet the program passes.
func run(p *Program, data []byte, wireLen uint32) uint32 {
	var a, x uint32
	var m [memWords]uint32
	code := p.steps
	for i := 0; i < len(code); i++ {
		in := &code[i]
		k := in.k
		switch in.op {
		case opLoadHalf | thenEqual:
			if uint64(in.at)+2 > uint64(len(data)) {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(data[in.at:]))
			if i++; a == k {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opLoadByte | thenEqual:
			if uint64(in.at) >= uint64(len(data)) {
				return 0
			}
			a = uint32(data[in.at])
			if i++; a == k {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opLoadWord | thenEqual:
			if uint64(in.at)+4 > uint64(len(data)) {
				return 0
			}
			a = binary.BigEndian.Uint32(data[in.at:])
			if i++; a == k {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opLoadHalfX | thenEqual:
			at := in.at + x
			if uint64(at)+2 > uint64(len(data)) {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(data[at:]))
			if i++; a == k {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opLoadHalf | thenBits:
			if uint64(in.at)+2 > uint64(len(data)) {
				return 0
			}
			a = uint32(binary.BigEndian.Uint16(data[in.at:]))
			if i++; a&k != 0 {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
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
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opJumpBits:
			if a&k != 0 {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opJumpGreater:
			if a > k {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opJumpAtLeast:
			if a >= k {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opJumpEqual | fromX:
			if a == x {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opJumpBits | fromX:
			if a&x != 0 {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opJumpGreater | fromX:
			if a > x {
				i += int(in.jt)
			} else {
				i += int(in.jf)
			}
		case opJumpAtLeast | fromX:
			if a >= x {
				i += int(in.jt)
			} else {
				i += int(in.jf)
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
