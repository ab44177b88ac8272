package evidence

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
)

const second = int64(time.Second)

// start is when the streams of the tests begin.
const start = 1_700_000_000 * second

var source = Source{Name: "test", Settings: "anomaly a@1", Section: capture.Section{Comment: "what", Interface: "eth0", SnapLen: 96}}

// testPacket is packet n of a stream: its bytes tell it from all others.
func testPacket(n int, nanos int64, size int) capture.Packet {
	data := bytes.Repeat([]byte{byte(n), byte(n >> 8), byte(n >> 16)}, size/3+1)[:size]
	return capture.Packet{Nanos: nanos, Data: data, WireLen: size + n%7, Link: 1}
}

func create(t testing.TB, dir string, o Options) *Recorder {
	t.Helper()
	if o.Length == 0 {
		o.Length = time.Second
	}
	r, err := Create(dir, source, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// packetsOf reads a capture whole.
func packetsOf(t testing.TB, files ...string) []capture.Packet {
	t.Helper()
	var all []capture.Packet
	for _, file := range files {
		if _, err := eachPacket(file, func(p *capture.Packet) error {
			p2 := *p
			p2.Data, p2.Comment = bytes.Clone(p.Data), bytes.Clone(p.Comment)
			all = append(all, p2)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func samePackets(a, b []capture.Packet) bool {
	return slices.EqualFunc(a, b, func(p, q capture.Packet) bool {
		return p.Nanos == q.Nanos && p.WireLen == q.WireLen && p.Link == q.Link && bytes.Equal(p.Data, q.Data) && bytes.Equal(p.Comment, q.Comment)
	})
}

// export writes slices to a file and reads it back.
func export(t *testing.T, dir string, slices ...Slice) ([]capture.Packet, capture.Section) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out.pcapng")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Dir(dir).Export(f, slices...); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	section, err := capture.ReadSection(file)
	if err != nil {
		t.Fatal(err)
	}
	return packetsOf(t, file), section
}

// The windows of an alert hold the packets of their time, all of them and no others, whatever their order, size, link type and
// comment; each once, however many alerts want it.
func TestKeptWindowsAreExact(t *testing.T) {
	dir := t.TempDir()
	r := create(t, dir, Options{Wait: true})
	byWindow := map[int64][]capture.Packet{}
	add := func(p capture.Packet) {
		r.Packet(&p)
		w := p.Nanos / second * second
		byWindow[w] = append(byWindow[w], p)
	}
	for i := range 3000 {
		nanos := start + int64(i)*10_000_000 + int64(i*7919%13-6)*50_000_000 // out of order by up to 0.6 s
		p := testPacket(i, nanos, i%1500)
		switch i % 5 {
		case 1:
			p.Link = 101
		case 2:
			p.Comment = []byte("process=curl")
		}
		add(p)
		if i == 1500 {
			r.Keep([]Window{{start + 3*second, uint64(len(byWindow[start+3*second]))}, {start + 4*second, uint64(len(byWindow[start+4*second]))}})
		}
		if i == 1700 {
			r.Keep([]Window{{start + 4*second, uint64(len(byWindow[start+4*second]))}, {start + 5*second, uint64(len(byWindow[start+5*second]))}, {start + 99*second, 0}})
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if lost := r.Lost(); len(lost) > 0 {
		t.Fatalf("lost %v", lost)
	}
	want := slices.Concat(byWindow[start+3*second], byWindow[start+4*second], byWindow[start+5*second])
	key := source.Key()
	got, section := export(t, dir, Slice{key, start + 3*second, start + 5*second}, Slice{key, start + 4*second, start + 6*second})
	if !samePackets(got, want) {
		t.Fatalf("got %d packets, want %d", len(got), len(want))
	}
	if section != source.Section {
		t.Errorf("the section says %+v, want %+v", section, source.Section)
	}
	files, err := Dir(dir).Files(key, math.MinInt64, math.MaxInt64)
	if err != nil || len(files) != 3 {
		t.Fatalf("files %q, %v", files, err)
	}
	if want := r.Files([]Window{{start + 3*second, 1}, {start + 4*second, 0}}); !slices.Equal(want, files[:1]) {
		t.Errorf("told as %q, is %q", want, files[:1])
	}
	// What was kept stays kept, and is not kept twice, when the source is read again.
	r = create(t, dir, Options{Wait: true})
	for _, p := range byWindow[start+4*second][:3] {
		r.Packet(&p)
	}
	r.Keep([]Window{{start + 4*second, uint64(len(byWindow[start+4*second]))}})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if again, _ := export(t, dir, Slice{key, start + 3*second, start + 6*second}); !samePackets(again, want) {
		t.Error("reading again changed what was kept")
	}
}

// Payloads are for the user who keeps them alone.
func TestNobodyElseReadsPackets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such modes there")
	}
	dir := filepath.Join(t.TempDir(), "evidence")
	r := create(t, dir, Options{Wait: true})
	for i := range 100 {
		p := testPacket(i, start+int64(i)*100_000_000, 500)
		r.Packet(&p)
	}
	r.Keep([]Window{{start + 2*second, 10}})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	captures := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, suffix) {
			if captures++; info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
		}
		return nil
	})
	if err != nil || captures < 2 {
		t.Fatalf("%d captures, %v", captures, err)
	}
}

// dirBytes is what the files below a directory take, each in whole blocks if wanted.
func dirBytes(t *testing.T, dir string, blocks bool) (sum int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			if blocks {
				sum += onDisk(info.Size())
			} else {
				sum += info.Size()
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// Ring and kept windows stay within their bytes, each its own; the oldest go, and a window that is too large is cut.
func TestBytesAreBounded(t *testing.T) {
	dir := t.TempDir()
	r := create(t, dir, Options{Wait: true, RingBytes: MinBytes, KeepBytes: MinBytes})
	const perWindow = 600
	for i := range 40 * perWindow {
		nanos := start + int64(i)*second/perWindow
		p := testPacket(i, nanos, 900)
		r.Packet(&p)
		if i%perWindow == perWindow-1 {
			r.Keep([]Window{{nanos / second * second, perWindow}})
		}
	}
	huge := start + 100*second
	for i := range 4000 { // more than a window may take
		p := testPacket(i, huge, 900)
		r.Packet(&p)
	}
	r.Keep([]Window{{huge, 4000}, {start + 39*second, perWindow}})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ring, kept := dirBytes(t, filepath.Join(dir, ringDir), false), dirBytes(t, filepath.Join(dir, keptDir), true)
	if ring > MinBytes || ring < MinBytes/2 || kept > MinBytes || kept < MinBytes/2 {
		t.Errorf("ring %d, kept %d bytes, each of %d", ring, kept, MinBytes)
	}
	files, _ := Dir(dir).Files(source.Key(), math.MinInt64, math.MaxInt64)
	if last := filepath.Base(files[len(files)-1]); last != windowFile(huge) {
		t.Errorf("the newest is %s", last)
	}
	if !strings.HasSuffix(files[len(files)-2], windowFile(start+39*second)) {
		t.Errorf("the window before it has gone: %q", files[len(files)-2])
	}
	got := len(packetsOf(t, files[len(files)-1]))
	if lost := r.Lost()[lostMissing]; lost == 0 || int(lost)+got != 4000 {
		t.Errorf("of 4000 packets %d are there and %d missing", got, lost)
	}
	// A smaller cap holds from the start.
	r = create(t, dir, Options{RingBytes: MinBytes, KeepBytes: MinBytes})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// What the ring does not have any more is counted, and the rest kept.
func TestWhatHasGoneIsCounted(t *testing.T) {
	dir := t.TempDir()
	r := create(t, dir, Options{Wait: true, RingBytes: MinBytes})
	for i := range 12000 {
		p := testPacket(i, start+int64(i)*1_000_000, 900)
		r.Packet(&p)
	}
	r.Keep([]Window{{start, 1000}, {start + 11*second, 1000}})
	r.Forget()
	r.Keep([]Window{{start + 10*second, 1000}})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got := r.Lost(); got[lostMissing] != 2000 || len(got) != 1 {
		t.Errorf("lost %v", got)
	}
	if got, _ := export(t, dir, Slice{source.Key(), start, start + 12*second}); len(got) != 1000 {
		t.Errorf("%d packets are kept", len(got))
	}
}

// A disk that is too slow costs packets, not time and not memory.
func TestAFullQueueCosts(t *testing.T) {
	dir := t.TempDir()
	r := create(t, dir, Options{Queue: 2 * chunkBytes})
	var told []string
	var mu sync.Mutex
	r.disk.o.Tell = func(_ slog.Level, text string) { mu.Lock(); told = append(told, text); mu.Unlock() }
	blocked := make(chan bool)
	r.disk.lose = func(string, uint64) { <-blocked }
	p := testPacket(1, -1, 100) // pcapng cannot hold it: the disk tells, and stands still
	r.Packet(&p)
	r.Keep([]Window{{start, 5}})
	const n = 10_000
	for i := range n {
		p := testPacket(i, start+int64(i), 900)
		r.Packet(&p)
	}
	for range 2 * maxOwed {
		r.Keep([]Window{{start + second, 1}})
	}
	lost := r.Lost()
	if lost[lostQueue] < n/2 || lost[lostMissing] < maxOwed-10 {
		t.Errorf("lost %v of %d packets", lost, n)
	}
	if len(r.owed) > maxOwed {
		t.Errorf("%d requests wait", len(r.owed))
	}
	close(blocked)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPacketsDoNotAllocate(t *testing.T) {
	r := create(t, t.TempDir(), Options{Wait: true})
	p := testPacket(1, start, 200)
	for range 20_000 {
		r.Packet(&p)
	}
	if n := testing.AllocsPerRun(10_000, func() { r.Packet(&p) }); n > 0.01 {
		t.Errorf("a packet allocates %v times", n)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBadOptionsAndDirectoriesInUse(t *testing.T) {
	dir := t.TempDir()
	for _, o := range []Options{{}, {Length: time.Second, RingBytes: 1}, {Length: time.Second, KeepBytes: -1}} {
		if _, err := Create(dir, source, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	r := create(t, dir, Options{})
	if _, err := Create(dir, source, Options{Length: time.Second}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second writer: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Dir(dir).Files("../../etc", 0, 1); err == nil {
		t.Error("a key that is a path was taken")
	}
}

// Killed at any moment, the ring is readable up to the last whole block, kept windows are whole or not there, and the next run goes on.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("WEIR_EVIDENCE_KILLED"); dir != "" {
		writeForEver(dir)
	}
	dir := t.TempDir()
	seen := 0
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
		cmd.Env = append(os.Environ(), "WEIR_EVIDENCE_KILLED="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(60+23*round) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		files, err := Dir(dir).Files(source.Key(), math.MinInt64, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			begin, _ := fileWindow(filepath.Base(file))
			if got := packetsOf(t, file); len(got) != 100 || got[0].Nanos != begin || got[99].Nanos != begin+99*second/100 {
				t.Fatalf("%s: %d packets", file, len(got))
			}
		}
		seen += len(files)
		segments, _ := filepath.Glob(filepath.Join(dir, ringDir, "*"+suffix))
		for i, file := range segments {
			last := int64(0)
			_, err := eachPacket(file, func(p *capture.Packet) error {
				if last != 0 && p.Nanos != last+second/100 {
					t.Fatalf("%s: a hole after %d", file, last)
				}
				last = p.Nanos
				return nil
			})
			if err != nil && !strings.Contains(err.Error(), "cut short") && !strings.Contains(err.Error(), "empty file") {
				t.Fatalf("%s, %d of %d: %v", file, i, len(segments), err)
			}
		}
	}
	if seen == 0 {
		t.Error("nothing was kept before any of the kills")
	}
	r := create(t, dir, Options{})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, keptDir, "*", ".*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// writeForEver writes a stream of a hundred packets a window and keeps every third.
func writeForEver(dir string) {
	r, err := Create(dir, source, Options{Length: time.Second, Wait: true, RingBytes: MinBytes, KeepBytes: MinBytes})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		p := testPacket(i, start+int64(i)*second/100, 400)
		r.Packet(&p)
		if i%300 == 299 {
			r.Keep([]Window{{p.Nanos / second * second, 100}})
		}
	}
}

// FuzzHostile puts files of any content and name where evidence is looked for: neither reading nor writing may crash, leave
// the directory, or forget its bounds.
func FuzzHostile(f *testing.F) {
	var good bytes.Buffer
	w := capture.NewWriter(&good)
	w.Section = source.Section
	p := testPacket(1, start, 100)
	w.Write(&p)
	w.Flush()
	f.Add("20231114T221320.000000000Z.pcapng", good.Bytes())
	f.Add("00000001.pcapng", good.Bytes()[:len(good.Bytes())-7])
	f.Add("99999999999999999.pcapng", []byte{0x0a, 0x0d, 0x0d, 0x0a, 255, 255, 255, 255})
	f.Add(".20231114T221320.000000000Z.pcapng", []byte(nil))
	f.Add("29991231T235959.999999999Z.pcapng", []byte("x"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		if name != filepath.Base(name) || strings.ContainsAny(name, "/\\\x00") || name == "." || name == ".." || len(name) > 100 {
			return
		}
		dir := t.TempDir()
		for _, sub := range []string{ringDir, filepath.Join(keptDir, source.Key())} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, sub, name), content, 0o666); err != nil {
				return // a name that this system does not take
			}
		}
		Dir(dir).Export(new(bytes.Buffer), Slice{source.Key(), math.MinInt64, math.MaxInt64})
		r, err := Create(dir, source, Options{Length: time.Second, Wait: true, RingBytes: MinBytes, KeepBytes: MinBytes})
		if err != nil {
			t.Fatal(err)
		}
		p := testPacket(5, start+5*second, 50)
		r.Packet(&p)
		r.Keep([]Window{{start + 5*second, 1}})
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if lost := r.Lost(); len(lost) > 0 {
			t.Fatalf("lost %v", lost)
		}
	})
}

func BenchmarkPacket(b *testing.B) {
	r := create(b, b.TempDir(), Options{Wait: true, RingBytes: 64 << 20})
	p := testPacket(1, start, 500)
	b.SetBytes(500)
	for b.Loop() {
		r.Packet(&p)
	}
	if err := r.Close(); err != nil {
		b.Fatal(err)
	}
}
