package filter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/bpf"
)

// A Program is a classic BPF program that is known to end and to stay within its memory. It may be
// used by several goroutines.
type Program struct {
	raw   []bpf.RawInstruction
	steps []step
}

// Raw returns the instructions, as a kernel takes them.
func (p *Program) Raw() []bpf.RawInstruction { return slices.Clone(p.raw) }

// Never reports whether the program is known to pass no packet at all, as that of "ip and arp" is.
func (p *Program) Never() bool { return p.raw[0] == bpf.RawInstruction{Op: opReturn} }

// Always reports whether the program is known to pass every packet.
func (p *Program) Always() bool { return p.raw[0].Op == opReturn && p.raw[0].K != 0 }

// AsksKernel reports whether the program loads the VLAN tag of a kernel's metadata, as those do that
// tcpdump makes for an interface.
func (p *Program) AsksKernel() bool {
	return slices.ContainsFunc(p.raw, func(in bpf.RawInstruction) bool { return in.Op == opLoadWord && in.K >= metadata })
}

// ErrProgram is that of instructions which are no program that a kernel would take.
var ErrProgram = errors.New("filter: not a valid BPF program")

// newProgram checks instructions by the rules of Linux (net/core/filter.c): known operations, jumps
// that stay inside, no division by a constant zero, no reading of memory that may not have been
// written, a return at the end. There are no jumps back, so every program ends.
func newProgram(raw []bpf.RawInstruction) (*Program, error) {
	if len(raw) == 0 || len(raw) > maxProgram {
		return nil, fmt.Errorf("%w: %d instructions, and there can be 1 to %d", ErrProgram, len(raw), maxProgram)
	}
	written := make([]uint16, len(raw)+1) // words of M that have been written on every way to an instruction
	for i := range written {
		written[i] = ^uint16(0)
	}
	written[0] = 0
	for i, in := range raw {
		if err := check(raw, i, written[i]); err != nil {
			return nil, fmt.Errorf("%w: instruction %d: %w", ErrProgram, i, err)
		}
		now := written[i]
		switch {
		case in.Op == opStore || in.Op == opStoreX:
			now |= 1 << in.K
		case in.Op == opJump:
			written[i+1+int(in.K)] &= now
			continue
		case in.Op&7 == opJump:
			written[i+1+int(in.Jt)] &= now
			written[i+1+int(in.Jf)] &= now
			continue
		case in.Op == opReturn || in.Op == opReturnA:
			continue
		}
		written[i+1] &= now
	}
	return &Program{raw: slices.Clone(raw), steps: steps(raw)}, nil
}

// check checks one instruction.
func check(raw []bpf.RawInstruction, i int, written uint16) error {
	in := raw[i]
	left := len(raw) - i - 1 // instructions behind this one
	switch in.Op {
	case opReturn, opReturnA:
		return nil
	case opJump:
		if uint64(in.K) >= uint64(left) {
			return errors.New("a jump out of the program")
		}
		return nil
	case opJumpEqual, opJumpGreater, opJumpAtLeast, opJumpBits,
		opJumpEqual | fromX, opJumpGreater | fromX, opJumpAtLeast | fromX, opJumpBits | fromX:
		if int(in.Jt) >= left || int(in.Jf) >= left {
			return errors.New("a jump out of the program")
		}
		return nil
	case opLoadMem, opLoadMemX, opStore, opStoreX:
		if in.K >= memWords {
			return fmt.Errorf("there is no memory word %d", in.K)
		}
		if (in.Op == opLoadMem || in.Op == opLoadMemX) && written>>in.K&1 == 0 {
			return fmt.Errorf("memory word %d may be read before it is written", in.K)
		}
	case opDiv, opMod:
		if in.K == 0 {
			return errors.New("division by zero")
		}
	case opShiftLeft, opShiftRight:
		if in.K > 31 {
			return errors.New("a shift by more than 31 bits")
		}
	case opLoadWord, opLoadHalf, opLoadByte:
		if in.K >= metadata {
			switch {
			case in.Op == opLoadWord && (in.K == metaTag || in.K == metaTagPresent || in.K == metaTagType):
			default:
				return fmt.Errorf("metadata %d of a kernel, which captures do not have", in.K-metadata)
			}
		}
	case opLoadWordX, opLoadHalfX, opLoadByteX, opLoadConst, opLoadLen, opLoadConstX, opLoadLenX, opLoadHeaderX,
		opAdd, opSub, opMul, opOr, opAnd, opXor, opNegate, opAdd | fromX, opSub | fromX, opMul | fromX, opDiv | fromX,
		opOr | fromX, opAnd | fromX, opXor | fromX, opMod | fromX, opShiftLeft | fromX, opShiftRight | fromX,
		opAToX, opXToA:
	default:
		return fmt.Errorf("unknown operation %#x", in.Op)
	}
	if left == 0 {
		return errors.New("the program does not end in a return")
	}
	return nil
}

// ReadProgram reads a program as "tcpdump -ddd" prints it: the number of instructions, then a line
// with the four numbers of each. Lines behind it and wrong programs are errors. Loads of a VLAN tag
// from a kernel's metadata, which tcpdump makes for an interface, find none in a capture, where the
// tag is in the packet.
func ReadProgram(r io.Reader) (*Program, error) {
	lines := bufio.NewScanner(r)
	line := 0
	next := func(fields, bits int) ([]uint64, error) {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return nil, fmt.Errorf("%w: line %d: %w", ErrProgram, line+1, err)
			}
			return nil, fmt.Errorf("%w: it ends after line %d", ErrProgram, line)
		}
		line++
		words := strings.Fields(lines.Text())
		if len(words) != fields {
			return nil, fmt.Errorf("%w: line %d: want %d numbers", ErrProgram, line, fields)
		}
		var numbers []uint64
		for i, w := range words {
			size := 32
			if bits != 0 {
				size = bits
			} else if i < 3 {
				size = []int{16, 8, 8}[i]
			}
			n, err := strconv.ParseUint(w, 10, size)
			if err != nil {
				return nil, fmt.Errorf("%w: line %d: %q is no number of %d bits", ErrProgram, line, w, size)
			}
			numbers = append(numbers, n)
		}
		return numbers, nil
	}
	count, err := next(1, 32)
	if err != nil {
		return nil, err
	}
	if count[0] == 0 || count[0] > maxProgram {
		return nil, fmt.Errorf("%w: %d instructions, and there can be 1 to %d", ErrProgram, count[0], maxProgram)
	}
	var raw []bpf.RawInstruction
	for range count[0] {
		n, err := next(4, 0)
		if err != nil {
			return nil, err
		}
		raw = append(raw, bpf.RawInstruction{Op: uint16(n[0]), Jt: uint8(n[1]), Jf: uint8(n[2]), K: uint32(n[3])})
	}
	for lines.Scan() {
		if line++; strings.TrimSpace(lines.Text()) != "" {
			return nil, fmt.Errorf("%w: line %d: more than the %d instructions of line 1", ErrProgram, line, count[0])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: line %d: %w", ErrProgram, line+1, err)
	}
	return newProgram(raw)
}
