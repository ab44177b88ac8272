// Package peak has loops that keep the multipliers of a core busy and do nothing else: all operands
// stay in registers. What a kernel reaches is told as a share of what such a loop reaches beside it.
// It is for benchmarks.
package peak

// Loop is a loop of products.
type Loop struct {
	Products int              // multiplied and added in a round
	Run      func(rounds int) // at least one
}
