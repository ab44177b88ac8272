package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

// Unit is what a payload image shows.
type Unit string

// The units of payload images.
const (
	// Session is all packets of a TCP or UDP 5-tuple in either direction, without timeouts: their
	// payloads, as captured, one after the other in capture order, retransmissions included. So
	// Wang et al. (ICOIN 2017) made the images of USTC-TFC2016, "session, L7".
	Session Unit = "session"
	// SinglePacket is the payload of one TCP or UDP packet.
	SinglePacket Unit = "packet"
)

// ImageOptions says which images are made.
type ImageOptions struct {
	Unit   Unit  // default Session
	Bytes  int   // of each image; default 784
	Labels bool  // write a file of labels, too
	Label  int   // what stands in it for every image, 0 to 255
	Memory int64 // most bytes of images at a time; default 1 GiB

	Wanted func(*capture.Packet) bool // nil: all packets are
}

// Check fills in the defaults and refuses what cannot be done.
func (o *ImageOptions) Check() error {
	if o.Unit == "" {
		o.Unit = Session
	}
	if o.Bytes == 0 {
		o.Bytes = 784
	}
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	switch {
	case o.Unit != Session && o.Unit != SinglePacket:
		return fmt.Errorf("images of unit %q: it is session or packet", o.Unit)
	case o.Bytes < 1 || o.Bytes > 1<<16:
		return fmt.Errorf("images of %d bytes: 1 to 65536 are possible", o.Bytes)
	case o.Label < 0 || o.Label > 255:
		return fmt.Errorf("label %d: IDX labels are 0 to 255", o.Label)
	}
	return nil
}

// ImageStats says what became of the packets of some captures.
type ImageStats struct {
	Packets     uint64          // read, and wanted
	LeftOut     uint64          // read, and not wanted
	NoPayload   uint64          // of these, packets without a TCP or UDP payload
	Fragments   uint64          // later fragments, which have no transport header
	Images      int             // written
	Empty       int             // sessions without payload, which give no image
	Refused     uint64          // packets that would have begun an image for which there was no memory
	MemoryLimit int64           // as ImageOptions.Memory
	Faults      []capture.Fault // of the captures
	Files       []string        // written
}

// Images writes the payload images of captures to dir, in order of first packet: the IDX file
// UNIT-images-idx3-ubyte (square when Bytes is a square number, else one row), UNIT-index.csv,
// which says what each image shows, and, if asked for, UNIT-labels-idx1-ubyte. An image is its
// unit's first Bytes payload bytes, zeros after the end; a unit without payload gives none.
//
// Images are held in memory until the end, at most Bytes + 200 bytes each; units that do not fit
// Memory give no image and are counted.
func Images(paths []string, dir string, opts ImageOptions) (*ImageStats, error) {
	if err := opts.Check(); err != nil {
		return nil, err
	}
	in, err := capture.Open(paths)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	defer in.Close()
	in.Keep(opts.Wanted)
	c := &imager{opts: opts, sessions: make(map[flow.Key]*image)}
	c.stats.MemoryLimit = opts.Memory
	batch := make([]capture.Packet, 64)
	for {
		n, err := in.Read(batch)
		if err == io.EOF {
			break
		}
		if err != nil {
			return &c.stats, fmt.Errorf("dataset: %w", err)
		}
		for i := range batch[:n] {
			c.add(&batch[i])
		}
	}
	c.stats.Faults, c.stats.LeftOut = in.Faults(), in.LeftOut()
	if c.stats.Packets+c.stats.LeftOut == 0 && len(c.stats.Faults) > 0 {
		return &c.stats, fmt.Errorf("dataset: no packet could be read: %w", c.stats.Faults[0])
	}
	return &c.stats, c.write(dir)
}

// image is one image while it grows.
type image struct {
	key     flow.Key
	first   int64
	packets uint64
	payload uint64 // bytes on the wire
	data    []byte
}

// imageOverhead is what an image costs in memory beside its bytes.
const imageOverhead = 200

// append adds payload up to limit bytes in all and returns how much memory that took.
func (m *image) append(payload []byte, limit int) int64 {
	payload = payload[:min(len(payload), limit-len(m.data))]
	had := cap(m.data)
	if need := len(m.data) + len(payload); need > had {
		m.data = append(make([]byte, 0, min(limit, max(need, 2*had))), m.data...)
	}
	m.data = append(m.data, payload...)
	return int64(cap(m.data) - had)
}

// imager collects images.
type imager struct {
	opts     ImageOptions
	stats    ImageStats
	images   []*image
	sessions map[flow.Key]*image
	used     int64 // bytes of memory
}

// add puts a packet's payload into its image.
func (c *imager) add(p *capture.Packet) {
	c.stats.Packets++
	var h packet.Headers
	h.Decode(p.Link, p.Data, p.WireLen)
	if h.Has&packet.LaterFragment != 0 {
		c.stats.Fragments++
		return
	}
	if h.Has&packet.HasPayload == 0 || h.Proto != packet.TCP && h.Proto != packet.UDP {
		c.stats.NoPayload++
		return
	}
	payload := h.Payload(p.Data)
	if len(payload) == 0 {
		c.stats.NoPayload++
	}
	key := flow.KeyOf(&h)
	var m *image
	if c.opts.Unit == Session {
		m = c.sessions[joinKey(key)]
	} else if len(payload) == 0 {
		return
	}
	if m == nil {
		if c.used+imageOverhead+int64(c.opts.Bytes) > c.opts.Memory {
			c.stats.Refused++
			return
		}
		c.used += imageOverhead
		m = &image{key: key, first: p.Nanos}
		c.images = append(c.images, m)
		if c.opts.Unit == Session {
			c.sessions[joinKey(key)] = m
		}
	}
	m.packets++
	m.payload += uint64(h.PayloadWireLen)
	c.used += m.append(payload, c.opts.Bytes)
}

// write writes the files. Each is there whole or not at all.
func (c *imager) write(dir string) error {
	var images []*image
	for _, m := range c.images {
		if len(m.data) > 0 {
			images = append(images, m)
		}
	}
	c.stats.Images, c.stats.Empty = len(images), len(c.images)-len(images)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	type file struct {
		name  string
		write func(io.Writer) error
	}
	unit := string(c.opts.Unit)
	files := []file{
		{unit + "-" + imagesEnding, func(w io.Writer) error {
			return WriteIDX(w, len(images), imageShape(c.opts.Bytes), func(dst []byte, i int) []byte {
				dst = append(dst, images[i].data...)
				return append(dst, make([]byte, c.opts.Bytes-len(dst))...)
			})
		}},
		{unit + "-index.csv", func(w io.Writer) error { return writeIndex(w, images) }},
	}
	if c.opts.Labels {
		files = append(files, file{unit + "-" + labelsEnding, func(w io.Writer) error {
			return WriteIDX(w, len(images), nil, func(dst []byte, _ int) []byte { return append(dst, byte(c.opts.Label)) })
		}})
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := writeFile(path, f.write); err != nil {
			return fmt.Errorf("dataset: %w", err)
		}
		c.stats.Files = append(c.stats.Files, path)
	}
	return nil
}

// imageShape returns rows and columns of an image.
func imageShape(bytes int) []int {
	if side := int(math.Sqrt(float64(bytes))); side*side == bytes {
		return []int{side, side}
	}
	return []int{1, bytes}
}

// writeIndex says what each image shows.
func writeIndex(w io.Writer, images []*image) error {
	out := csv.NewWriter(w)
	out.Write([]string{"image", "start", "src", "src_port", "dst", "dst_port", "protocol", "packets", "payload_bytes", "image_bytes"})
	for i, m := range images {
		src, dst := m.key.Source(), m.key.Destination()
		out.Write([]string{
			strconv.Itoa(i), time.Unix(0, m.first).UTC().Format(time.RFC3339Nano),
			src.Addr().String(), strconv.Itoa(int(src.Port())), dst.Addr().String(), strconv.Itoa(int(dst.Port())),
			strconv.Itoa(int(m.key.Proto)), strconv.FormatUint(m.packets, 10), strconv.FormatUint(m.payload, 10), strconv.Itoa(len(m.data)),
		})
	}
	out.Flush()
	return out.Error()
}

// writeFile writes a file under another name first.
func writeFile(path string, write func(io.Writer) error) error {
	unfinished := path + ".unfinished"
	f, err := os.Create(unfinished)
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Close()); err == nil {
		err = os.Rename(unfinished, path)
	}
	if err != nil {
		os.Remove(unfinished)
	}
	return err
}
