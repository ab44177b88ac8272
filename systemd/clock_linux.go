package systemd

import "golang.org/x/sys/unix"

// monotonicMicros is the clock by which the manager knows what it has asked for.
func monotonicMicros() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has it
	}
	return t.Nano() / 1000
}
