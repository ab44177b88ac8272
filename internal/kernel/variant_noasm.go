//go:build !amd64 || purego

package kernel

func supported() []variant { return []variant{plain} }
