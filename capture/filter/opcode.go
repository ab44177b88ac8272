package filter

// Operation codes of classic BPF: McCanne and Jacobson, "The BSD Packet Filter", 1993, and
// linux/bpf_common.h, which keeps their numbers.
const (
	opLoadWord    = 0x20 // A = the 32 bits at k
	opLoadHalf    = 0x28
	opLoadByte    = 0x30
	opLoadWordX   = 0x40 // A = the 32 bits at X + k
	opLoadHalfX   = 0x48
	opLoadByteX   = 0x50
	opLoadConst   = 0x00 // A = k
	opLoadMem     = 0x60 // A = M[k]
	opLoadLen     = 0x80 // A = length of the packet on the wire
	opLoadConstX  = 0x01 // X = k
	opLoadMemX    = 0x61 // X = M[k]
	opLoadLenX    = 0x81
	opLoadHeaderX = 0xb1 // X = 4 * (the byte at k & 0xf): length of an IPv4 header
	opStore       = 0x02 // M[k] = A
	opStoreX      = 0x03
	opAdd         = 0x04 // A += k; with fromX: A += X
	opSub         = 0x14
	opMul         = 0x24
	opDiv         = 0x34
	opOr          = 0x44
	opAnd         = 0x54
	opShiftLeft   = 0x64
	opShiftRight  = 0x74
	opNegate      = 0x84
	opMod         = 0x94
	opXor         = 0xa4
	opJump        = 0x05
	opJumpEqual   = 0x15 // A == k; with fromX: A == X
	opJumpGreater = 0x25
	opJumpAtLeast = 0x35
	opJumpBits    = 0x45 // A & k != 0
	opReturn      = 0x06 // pass k bytes of the packet, 0: none
	opReturnA     = 0x16
	opAToX        = 0x07
	opXToA        = 0x87
	fromX         = 0x08 // of arithmetic and jumps: the operand is X, not k
	memWords      = 16   // M[0] to M[15]
	maxProgram    = 4096 // BPF_MAXINSNS of linux/bpf_common.h
)

// Places of metadata for loads of a word, in Linux alone: SKF_AD_… of linux/filter.h.
const (
	metadata       = 0xfffff000    // from here on
	metaTag        = metadata + 44 // VLAN tag control information
	metaTagPresent = metadata + 48 // 1 with a VLAN tag, else 0
	metaTagType    = metadata + 60 // EtherType of the VLAN tag
)
