package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a flag for a number of bytes: 64MiB, 64M and 67108864 are the same.
type byteSize int64

var byteUnits = []string{"", "K", "M", "G", "T"}

// Set implements pflag.Value.
func (b *byteSize) Set(text string) error {
	number := strings.TrimSpace(strings.ToUpper(text))
	number = strings.TrimSuffix(number, "B")
	number = strings.TrimSuffix(number, "I")
	scale := int64(1)
	for i := len(byteUnits) - 1; i > 0; i-- {
		if short, ok := strings.CutSuffix(number, byteUnits[i]); ok {
			number, scale = short, 1<<(10*i)
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/scale {
		return fmt.Errorf("%q is no size: want a number of bytes more than zero, such as 64MiB", text)
	}
	*b = byteSize(n * scale)
	return nil
}

// String implements pflag.Value.
func (b *byteSize) String() string {
	n, unit := int64(*b), 0
	for n > 0 && n%1024 == 0 && unit < len(byteUnits)-1 {
		n /= 1024
		unit++
	}
	if unit == 0 {
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt(n, 10) + byteUnits[unit] + "iB"
}

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "size" }
