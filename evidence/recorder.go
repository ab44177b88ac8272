package evidence

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/internal/lock"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// Reasons of losses, as they stand among the drops of statistics, in packets.
const (
	lostQueue   = "evidence_queue_full" // the disk is slower than packets come
	lostFailed  = "evidence_failed"     // the disk refused them; the log says why
	lostRefused = "evidence_refused"    // pcapng cannot hold them
	lostMissing = "evidence_missing"    // of windows that were kept: the ring had them no more, or there was no room
)

// Recorder writes evidence, in a goroutine of its own and through a bounded queue. Packet, Keep, Forget and Close are called by
// one goroutine; Lost by any.
type Recorder struct {
	disk disk
	wait bool

	now   *chunk // being filled; nil: the next packet takes a free one
	made  int    // chunks that there are
	most  int
	free  chan *chunk
	queue chan *chunk
	owed  []request // that wait for a chunk to go with
	ended sync.WaitGroup

	mu   sync.Mutex
	lost map[string]uint64
}

// chunkBytes is about how many bytes go through the queue at once; maxOwed how many requests may wait while no chunk is free.
const (
	chunkBytes = 256 << 10
	maxOwed    = 1024
)

// chunk is a part of the stream on its way to the disk.
type chunk struct {
	packets  []held
	data     []byte
	requests []request // after the packets
}

// held is a packet whose bytes lie in a chunk.
type held struct {
	nanos            int64
	at, end, comment int // of data; the comment goes to the start of the next packet
	wireLen          int
	link             packet.LinkType
}

// request is something to do at a place of the stream.
type request struct {
	keep   []Window
	forget bool
}

// Create opens a directory of evidence for writing, and makes it where there is none.
func Create(dir string, source Source, o Options) (*Recorder, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Recorder{wait: o.Wait, lost: map[string]uint64{}}
	r.most = max(o.Queue/chunkBytes, 2)
	r.free, r.queue = make(chan *chunk, r.most), make(chan *chunk, r.most)
	r.disk = disk{dir: dir, source: source, key: source.Key(), o: o, lose: r.lose}
	if err := r.disk.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("evidence: %w", err), r.disk.close())
	}
	r.ended.Go(func() {
		for c := range r.queue {
			r.disk.write(c)
			r.free <- c
		}
	})
	return r, nil
}

// Packet takes the next packet that counted in its window. Nothing of it is held when it returns.
func (r *Recorder) Packet(p *capture.Packet) {
	c := r.now
	// A quiet stream goes to the disk every second, or a kill would cost more of it than of a busy one.
	if c != nil && (len(c.data)+len(p.Data) > chunkBytes || len(c.packets) > 0 && p.Nanos-c.packets[0].nanos >= 1e9) {
		r.send()
		c = nil
	}
	if c == nil {
		if c = r.take(r.wait); c == nil {
			r.lose(lostQueue, 1)
			return
		}
		r.now = c
	}
	at := len(c.data)
	c.data = append(c.data, p.Data...)
	end := len(c.data)
	c.data = append(c.data, p.Comment...)
	c.packets = append(c.packets, held{p.Nanos, at, end, len(c.data), p.WireLen, p.Link})
}

// take returns a chunk to fill, nil when all are in the queue and it need not wait.
func (r *Recorder) take(wait bool) *chunk {
	select {
	case c := <-r.free:
		return c
	default:
	}
	if r.made < r.most {
		r.made++
		return &chunk{data: make([]byte, 0, chunkBytes)}
	}
	if !wait {
		return nil
	}
	return <-r.free
}

// send gives the chunk at hand to the disk. There is always room: no more chunks are made.
func (r *Recorder) send() {
	c := r.now
	r.now = nil
	c.requests = append(c.requests, r.owed...)
	r.owed = r.owed[:0]
	r.queue <- c
}

// Keep keeps windows, which must have closed: no more of their packets come.
func (r *Recorder) Keep(windows []Window) { r.request(request{keep: windows}) }

// Forget says that the stream begins anew, after the clock was set: what is in the ring is of other windows than what follows,
// even where they bear the same time.
func (r *Recorder) Forget() { r.request(request{forget: true}) }

func (r *Recorder) request(q request) {
	if len(r.owed) == maxOwed { // the disk stands still
		for _, w := range q.keep {
			r.lose(lostMissing, w.Packets)
		}
		return
	}
	r.owed = append(r.owed, q)
	if r.now == nil {
		r.now = r.take(r.wait)
	}
	if r.now != nil {
		r.send()
	}
}

// Files returns the files that windows are kept in, from the one that starts at from on, in order.
func (r *Recorder) Files(windows []Window) []string {
	files := make([]string, 0, len(windows))
	for _, w := range windows {
		if w.Packets > 0 {
			files = append(files, r.disk.windowPath(w.Start))
		}
	}
	return files
}

// Lost returns how many packets are not kept that should be, by reason.
func (r *Recorder) Lost() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.lost)
}

func (r *Recorder) lose(reason string, packets uint64) {
	if packets == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost[reason] += packets
}

// Close writes what waits and ends the recording.
func (r *Recorder) Close() error {
	if r.now == nil && len(r.owed) > 0 {
		r.now = r.take(true)
	}
	if r.now != nil {
		r.send()
	}
	close(r.queue)
	r.ended.Wait()
	return r.disk.close()
}

// disk is the directory, for the goroutine that writes.
type disk struct {
	dir    string
	source Source
	key    string
	o      Options
	lose   func(reason string, packets uint64)
	lock   *os.File

	ring      []segment // the oldest first; the last one is being written while file is not nil
	ringBytes int64
	next      int64 // number of the next segment
	file      *os.File
	writer    *capture.Writer

	kept      []kept // the first goes first
	keptBytes int64
	trouble   string // that was told
}

// segment is a file of the ring.
type segment struct {
	path     string
	size     int64
	from, to int64 // oldest and newest packet
	own      bool  // written by this Recorder since it last had to forget: its windows are those of the stream
}

// segmentBytes is the size of a segment: many to a ring, so that little goes at a time and little is searched for a window.
func (d *disk) segmentBytes() int64 { return min(max(d.o.RingBytes/256, 1<<20), 16<<20) }

func (d *disk) windowPath(start int64) string {
	return filepath.Join(d.dir, keptDir, d.key, windowFile(start))
}

func (d *disk) open() (err error) {
	for _, sub := range []string{ringDir, filepath.Join(keptDir, d.key)} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o700); err != nil {
			return err
		}
	}
	if d.lock, err = lock.File(filepath.Join(d.dir, "lock")); err != nil {
		return fmt.Errorf("%s: %w", d.dir, err)
	}
	entries, err := os.ReadDir(filepath.Join(d.dir, ringDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !ringName.MatchString(e.Name()) {
			continue
		}
		var number int64
		fmt.Sscanf(e.Name(), "%d", &number)
		d.next = max(d.next, number+1)
		d.ring = append(d.ring, segment{path: filepath.Join(d.dir, ringDir, e.Name()), size: info.Size()})
		d.ringBytes += info.Size()
	}
	if d.kept, err = scanKept(filepath.Join(d.dir, keptDir)); err != nil {
		return err
	}
	for _, k := range d.kept {
		d.keptBytes += k.size
	}
	return errors.Join(d.makeRingRoom(0), d.makeKeptRoom(0))
}

func (d *disk) close() error {
	err := d.endSegment()
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// write writes a chunk and does what it asks for, and empties it.
func (d *disk) write(c *chunk) {
	if len(c.packets) > 0 {
		refused, err := d.append(c)
		if err != nil {
			d.lose(lostFailed, uint64(len(c.packets))-refused)
			d.abandon()
		}
		d.lose(lostRefused, refused)
		d.tell(err)
	}
	for _, q := range c.requests {
		if q.forget {
			for i := range d.ring {
				d.ring[i].own = false
			}
			d.tell(d.endSegment())
		}
		if len(q.keep) > 0 {
			d.tell(d.keep(q.keep))
		}
	}
	clear(c.requests)
	c.packets, c.data, c.requests = c.packets[:0], c.data[:0], c.requests[:0]
	if cap(c.data) > 2*chunkBytes { // after one packet of a hundred megabytes
		c.data = make([]byte, 0, chunkBytes)
	}
}

// tell tells a trouble when it is another than before.
func (d *disk) tell(err error) {
	switch {
	case err == nil:
	case err.Error() != d.trouble:
		d.trouble = err.Error()
		d.o.Tell(slog.LevelWarn, "packets of alerts cannot be kept: "+d.trouble)
	}
}

// recordBytes is what a packet of the ring takes beside its data and comment, at most.
const recordBytes = 32 + 4 + 12

// append appends the packets of a chunk to the ring.
func (d *disk) append(c *chunk) (refused uint64, err error) {
	size := int64(len(c.data)) + int64(len(c.packets))*recordBytes
	if d.file != nil && d.ring[len(d.ring)-1].size+size > d.segmentBytes() {
		if err := d.endSegment(); err != nil {
			return 0, err
		}
	}
	if err := d.makeRingRoom(size); err != nil {
		return 0, err
	}
	if d.file == nil {
		if err := d.beginSegment(); err != nil {
			return 0, err
		}
	}
	s := &d.ring[len(d.ring)-1]
	for i := range c.packets {
		h := &c.packets[i]
		p := capture.Packet{Nanos: h.nanos, Data: c.data[h.at:h.end], WireLen: h.wireLen, Link: h.link}
		if h.comment > h.end {
			p.Comment = c.data[h.end:h.comment]
		}
		if err := d.writer.Write(&p); err != nil {
			if errors.Is(err, capture.ErrUnwritable) {
				refused++
				continue
			}
			return refused, err
		}
		s.from, s.to = min(s.from, h.nanos), max(s.to, h.nanos)
	}
	if err := d.writer.Flush(); err != nil {
		return refused, err
	}
	info, err := d.file.Stat()
	if err != nil {
		return refused, err
	}
	d.ringBytes += info.Size() - s.size
	s.size = info.Size()
	return refused, nil
}

// beginSegment begins the next segment of the ring.
func (d *disk) beginSegment() error {
	path := filepath.Join(d.dir, ringDir, fmt.Sprintf("%08d%s", d.next, suffix))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	d.next++
	d.file, d.writer = f, capture.NewWriter(f)
	d.writer.Section = d.source.Section
	d.ring = append(d.ring, segment{path: path, from: math.MaxInt64, to: math.MinInt64, own: true})
	return nil
}

// endSegment ends the segment at hand. It is not synced: what is in the ring is lost with the power, not with the process.
func (d *disk) endSegment() error {
	if d.file == nil {
		return nil
	}
	err := errors.Join(d.writer.Flush(), d.file.Close())
	d.file, d.writer = nil, nil
	return err
}

// abandon ends the segment at hand after an error in writing.
func (d *disk) abandon() {
	if d.file != nil {
		d.file.Close()
		d.file, d.writer = nil, nil
	}
}

// makeRingRoom removes the oldest segments until size bytes fit.
func (d *disk) makeRingRoom(size int64) error {
	for d.ringBytes+size > d.o.RingBytes && len(d.ring) > 0 {
		if len(d.ring) == 1 {
			if err := d.endSegment(); err != nil {
				return err
			}
		}
		if err := os.Remove(d.ring[0].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.ringBytes -= d.ring[0].size
		d.ring = slices.Delete(d.ring, 0, 1)
	}
	return nil
}

// makeKeptRoom removes the windows kept first until size bytes fit.
func (d *disk) makeKeptRoom(size int64) error {
	n := 0
	defer func() { d.kept = slices.Delete(d.kept, 0, n) }()
	for ; d.keptBytes+size > d.o.KeepBytes && n < len(d.kept); n++ {
		if err := os.Remove(d.kept[n].path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.keptBytes -= d.kept[n].size
	}
	return nil
}

// slice is a window that is being cut out of the ring.
type slice struct {
	Window
	file   *os.File
	w      *capture.Writer
	size   int64
	got    uint64
	hidden string
}

// keep cuts windows out of the ring, those that are not kept already. All that are missing or do not fit are counted.
func (d *disk) keep(windows []Window) (err error) {
	wanted := map[int64]*slice{}
	from, to := int64(math.MaxInt64), int64(math.MinInt64)
	for _, w := range windows {
		if _, err := os.Lstat(d.windowPath(w.Start)); err == nil || w.Packets == 0 {
			continue
		}
		wanted[w.Start] = &slice{Window: w}
		from, to = min(from, w.Start), max(to, w.Start+int64(d.o.Length))
	}
	if len(wanted) == 0 {
		return nil
	}
	for i := range d.ring {
		s := &d.ring[i]
		if !s.own || s.to < from || s.from >= to {
			continue
		}
		_, read := eachPacket(s.path, func(p *capture.Packet) error {
			if one := wanted[window.Start(window.Index(p.Nanos, d.o.Length), d.o.Length)]; one != nil {
				return d.cut(one, p)
			}
			return nil
		})
		err = errors.Join(err, read)
	}
	for _, w := range windows {
		if one := wanted[w.Start]; one != nil {
			err = errors.Join(err, d.finish(one))
			if one.got < one.Packets {
				d.lose(lostMissing, one.Packets-one.got)
			}
		}
	}
	return errors.Join(err, syncDir(filepath.Join(d.dir, keptDir, d.key)))
}

// largest is how much of the room for kept windows one of them may take: a flood must not push out all others.
func (d *disk) largest() int64 { return d.o.KeepBytes / 4 }

// cut adds a packet to a window. One that there is no room for is left out.
func (d *disk) cut(s *slice, p *capture.Packet) error {
	size := int64(len(p.Data)+len(p.Comment)) + recordBytes
	if s.size+size > d.largest() {
		return nil
	}
	if s.file == nil {
		path := d.windowPath(s.Start)
		s.hidden = filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
		f, err := os.OpenFile(s.hidden, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		s.file, s.w = f, capture.NewWriter(f)
		s.w.Section = d.source.Section
	}
	if err := s.w.Write(p); err != nil {
		return err
	}
	s.size += size
	s.got++
	return nil
}

// finish gives a window its name, once it is whole and synced.
func (d *disk) finish(s *slice) (err error) {
	if s.file == nil {
		return nil
	}
	defer func() {
		if err != nil {
			s.got = 0
			err = errors.Join(err, os.Remove(s.hidden))
		}
	}()
	if err := errors.Join(s.w.Flush(), s.file.Sync()); err != nil {
		return errors.Join(err, s.file.Close())
	}
	info, err := s.file.Stat()
	if err := errors.Join(err, s.file.Close()); err != nil {
		return err
	}
	size := onDisk(info.Size())
	if err := d.makeKeptRoom(size); err != nil {
		return err
	}
	path := d.windowPath(s.Start)
	if err := os.Rename(s.hidden, path); err != nil {
		return err
	}
	d.kept = append(d.kept, kept{path, size})
	d.keptBytes += size
	return nil
}

// syncDir makes the names in a directory last. Windows cannot, and keeps them itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
