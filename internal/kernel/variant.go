package kernel

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

//go:generate go run ./gen .

// variant is one implementation of all kernels of the package.
type variant uint8

const (
	plain      variant = iota // Go, the twin of the others
	avx2                      // AVX2 and FMA: 256-bit vectors
	avx2VNNI                  // with AVX-VNNI for products of bytes
	avx512                    // AVX-512 F, BW, DQ and VL: 512-bit vectors
	avx512VNNI                // with AVX-512 VNNI for products of bytes
)

var variantNames = [...]string{plain: "go", avx2: "avx2", avx2VNNI: "avx2-vnni", avx512: "avx512", avx512VNNI: "avx512-vnni"}

func (v variant) String() string { return variantNames[v] }

// active is the variant in use. It is chosen once, before main: the machine does not change while
// the program runs, and results must not either.
var active, activeErr = choose(os.Getenv("WEIR_KERNEL"), supported())

// Name returns the variant in use: "avx512-vnni", "avx512", "avx2-vnni", "avx2" or "go".
func Name() string { return active.String() }

// Available returns the variants that this machine and this build can run, the best first. The
// environment variable WEIR_KERNEL takes one of these names in place of the first.
func Available() []string {
	var names []string
	for _, v := range supported() {
		names = append(names, v.String())
	}
	return names
}

// Err tells why the environment variable WEIR_KERNEL was not followed. Then the best available
// variant is in use; a program should print the error and go on, or stop.
func Err() error { return activeErr }

// choose returns the wished variant, or the first of those that can run.
func choose(wish string, can []variant) (variant, error) {
	if wish == "" {
		return can[0], nil
	}
	i := slices.Index(variantNames[:], wish)
	if i < 0 {
		return can[0], fmt.Errorf("kernel: WEIR_KERNEL=%q is unknown: use one of %s", wish, strings.Join(Available(), ", "))
	}
	if !slices.Contains(can, variant(i)) {
		return can[0], fmt.Errorf("kernel: WEIR_KERNEL=%q cannot run here: use one of %s", wish, strings.Join(Available(), ", "))
	}
	return variant(i), nil
}
