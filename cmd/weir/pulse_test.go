package main

import (
	"testing"
	"time"
)

func TestPulse(t *testing.T) {
	var p pulse
	if p.ready() || !p.healthy() {
		t.Errorf("before it begins: ready %t, healthy %t", p.ready(), p.healthy())
	}
	p.begin()
	if !p.ready() || !p.healthyAt(time.Now().Add(time.Hour)) {
		t.Error("reading captures is not well after an hour")
	}
	did := false
	p.beside(func() error { did = true; return nil })()
	if now := time.Now(); !did || !p.healthyAt(now) || p.healthyAt(now.Add(stall)) {
		t.Errorf("after a beat: did %t, healthy %t, and after %v %t", did, p.healthyAt(now), stall, p.healthyAt(now.Add(stall)))
	}
}
