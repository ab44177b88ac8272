//go:build !linux

package systemd

// monotonicMicros is for Linux, where there is a service manager that asks for it.
func monotonicMicros() int64 { return 0 }
