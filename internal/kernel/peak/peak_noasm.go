//go:build !amd64 || purego

package peak

// Floats and Bytes know no loops: Go has no vectors.
func Floats(variant string) (Loop, bool) { return Loop{}, false }

// Bytes is Floats for bytes.
func Bytes(variant string) (Loop, bool) { return Loop{}, false }
