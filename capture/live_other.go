//go:build !linux

package capture

import (
	"net"
	"time"
)

// Live captures from interfaces, on Linux alone.
type Live struct{}

// OpenLive returns ErrNoLive.
func OpenLive(LiveConfig) (*Live, error) { return nil, ErrNoLive }

// Read returns ErrNoLive.
func (l *Live) Read([]Packet) (int, error) { return 0, ErrNoLive }

// Complete returns 0.
func (l *Live) Complete() int64 { return 0 }

// ClockStep returns 0.
func (l *Live) ClockStep() time.Duration { return 0 }

// Losses returns nothing.
func (l *Live) Losses() []Loss { return nil }

// Lag returns nothing.
func (l *Live) Lag() (fill float64, behind time.Duration) { return 0, 0 }

// Counts returns nothing.
func (l *Live) Counts() []LiveCounts { return nil }

// Stop does nothing.
func (l *Live) Stop() {}

// Close does nothing.
func (l *Live) Close() error { return nil }

// CanCapture returns ErrNoLive.
func CanCapture() error { return ErrNoLive }

func (i *Interface) look(*net.Interface) {}
