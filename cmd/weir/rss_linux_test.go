package main

import (
	"os"
	"syscall"
)

// maxRSS returns the most memory that a process which has ended had at a time, bytes.
func maxRSS(p *os.ProcessState) float64 { return float64(p.SysUsage().(*syscall.Rusage).Maxrss) * 1024 }
