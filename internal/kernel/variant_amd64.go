//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

// supported returns the variants that the processor and the operating system can run, the best
// first.
func supported() []variant {
	var can []variant
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasBMI2 {
		if cpu.X86.HasAVX512VNNI {
			can = append(can, avx512VNNI)
		}
		can = append(can, avx512)
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		if cpu.X86.HasAVXVNNI {
			can = append(can, avx2VNNI)
		}
		can = append(can, avx2)
	}
	return append(can, plain)
}
