//go:build !linux

package flow

// adviseHuge does nothing: large pages are Linux's to give.
func adviseHuge([]byte) {}
