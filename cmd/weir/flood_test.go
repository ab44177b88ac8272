package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// writeFlood writes a capture of n SYNs from addresses and ports all over, each a flow of its own, a
// microsecond apart; with keep packets of one connection between each two of them.
func writeFlood(to io.Writer, n, keep int) error {
	w := capture.NewWriter(to)
	frame := make([]byte, 14, 54)
	frame[12] = 8 // IPv4
	frame = append(frame, segment("10.0.0.1", "10.0.0.2", 1000, packet.SYN)...)
	now := int64(1_700_000_000e9)
	write := func(src uint32, port uint16, flags byte, back bool) error {
		ip := frame[14:]
		from, to, ports := ip[12:], ip[16:], [2]uint16{port, 80}
		if back {
			from, to, ports = to, from, [2]uint16{80, port}
		}
		binary.BigEndian.PutUint32(from, src)
		binary.BigEndian.PutUint32(to, 10<<24|2)
		binary.BigEndian.PutUint16(ip[20:], ports[0])
		binary.BigEndian.PutUint16(ip[22:], ports[1])
		ip[33] = flags
		now += 1000
		return w.Write(&capture.Packet{Nanos: now, Data: frame, WireLen: len(frame), Link: packet.LinkEthernet})
	}
	for i := range uint32(n) {
		if err := write(i*2654435761, uint16(i*40503), packet.SYN, false); err != nil {
			return err
		}
		for k := range keep {
			if err := write(10<<24|1, 1000+uint16(i%64), packet.ACK, k%2 == 1); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

// scriptFlood writes a capture that no flow table holds: flood FLOWS FILE
func scriptFlood(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "flood FLOWS FILE")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(writeFlood(f, n, 2))
	ts.Check(f.Close())
}

// BenchmarkFlood runs weir over floods of millions of flows, with memory for all of them and for few,
// and says what it takes of the processor and of memory in all.
func BenchmarkFlood(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("the memory of a process is told in other units")
	}
	for _, command := range []string{"flows", "run"} {
		for _, flows := range []int{2_000_000, 10_000_000} {
			for _, memory := range []string{"32MiB", "1GiB"} {
				b.Run(fmt.Sprintf("%s/flows=%d/memory=%s", command, flows, memory), func(b *testing.B) {
					var cpu, most float64
					for range b.N {
						in, out, err := os.Pipe()
						if err != nil {
							b.Fatal(err)
						}
						go func() {
							w := bufio.NewWriterSize(out, 1<<20)
							if err := writeFlood(w, flows, 0); err != nil {
								b.Error(err)
							}
							w.Flush()
							out.Close()
						}()
						weir := exec.Command("weir", command, "-q", "-r", "-", "-o", os.DevNull, "--workers", "1", "--flow-memory", memory)
						weir.Stdin = in
						if msg, err := weir.CombinedOutput(); err != nil {
							b.Fatalf("%v: %s", err, msg)
						}
						in.Close()
						cpu += float64(weir.ProcessState.UserTime() + weir.ProcessState.SystemTime())
						most = max(most, maxRSS(weir.ProcessState))
					}
					b.ReportMetric(cpu/float64(b.N)/float64(flows), "cpu-ns/packet")
					b.ReportMetric(most/1e6, "MB")
				})
			}
		}
	}
}
