package dataset

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"golang.org/x/sync/errgroup"
)

// flowOverhead is what an example costs beside its payload bytes, and payloadOverhead what each
// of its payloads does.
const (
	flowOverhead    = 250
	payloadOverhead = 48
)

// flowMemory is the memory for the open flows of one capture: three million.
const flowMemory = 256 << 20

// budget is the memory that a set may take. It is used by several goroutines.
type budget struct {
	limit int64
	used  atomic.Int64
}

func newBudget(limit int64) *budget { return &budget{limit: limit} }

// take asks for n more bytes.
func (b *budget) take(n int) error {
	if used := b.used.Add(int64(n)); used > b.limit {
		return b.exceeded()
	}
	return nil
}

func (b *budget) exceeded() error {
	return fmt.Errorf("%w of %d MiB: keep fewer packets or bytes per flow, or leave captures out", ErrTooLarge, b.limit>>20)
}

// readCaptures reads the captures of the plan, several at a time, into Set.Captures and
// Set.Flows. The result does not depend on how many.
func (s *Set) readCaptures(plan []*job, opts Options, mem *budget) error {
	results := make([]*reading, len(plan))
	var group errgroup.Group
	group.SetLimit(opts.Workers)
	var mu sync.Mutex
	done := 0
	for i, j := range plan {
		group.Go(func() error {
			r, err := readCapture(j, opts, mem)
			if err != nil {
				return err
			}
			results[i] = r
			if opts.Progress != nil {
				mu.Lock()
				done++
				opts.Progress(done, len(plan))
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	used := make(map[*joiner][]bool)
	for i, r := range results {
		s.add(r, plan[i], used)
	}
	s.countRows(plan, used)
	return nil
}

// add appends what was read of a capture to the set.
func (s *Set) add(r *reading, j *job, used map[*joiner][]bool) {
	r.capture.Name = below(s.Dir, j.path)
	for i := range r.flows {
		f := &r.flows[i]
		label, row := r.labelOf(f)
		if f.join != nil {
			if used[f.join.joiner] == nil {
				used[f.join.joiner] = make([]bool, len(f.join.rows))
			}
			used[f.join.joiner][row] = true
		}
		if len(f.Opening) == 0 {
			continue
		}
		if label == "" {
			r.capture.Unlabelled++
			if f.ambiguous {
				r.capture.Ambiguous++
			}
			continue
		}
		f.Label, f.Capture = label, len(s.Captures)
		s.Flows = append(s.Flows, f.Flow)
		r.capture.Examples++
	}
	for _, fault := range r.faults {
		kind := DamagedCapture
		if r.capture.Packets == 0 {
			kind = UnreadableCapture
		}
		detail := fault.Err.Error()
		if fault.Offset != capture.Unopened {
			detail = fmt.Sprintf("at byte %d: %s", fault.Offset, detail)
		}
		s.Problems = append(s.Problems, Problem{kind, r.capture.Name, detail})
	}
	if r.evicted > 0 {
		s.Problems = append(s.Problems, Problem{FlowsEvicted, r.capture.Name,
			fmt.Sprintf("%d flows ended early because the flow table was full: what followed of them counts as new flows", r.evicted)})
	}
	if len(r.faults) == 0 && j.listed == "" && len(j.joiners) == 0 && !r.processes && j.folder == "" {
		s.Problems = append(s.Problems, Problem{NoLabel, r.capture.Name, "no table names it, no packet of it names a process"})
	}
	s.Captures = append(s.Captures, r.capture)
}

// countRows says of each table how many rows found their flow.
func (s *Set) countRows(plan []*job, used map[*joiner][]bool) {
	counted := make(map[*joiner]bool)
	for _, j := range plan {
		for _, join := range j.joiners {
			if counted[join.joiner] {
				continue
			}
			counted[join.joiner] = true
			stats := &s.Tables[join.table]
			for i := range join.rows {
				switch {
				case used[join.joiner] != nil && used[join.joiner][i]:
					stats.Joined++
				case join.rows[i].key.Kind == flow.Portless:
					stats.NoPorts++
				default:
					stats.NoFlow++
				}
			}
		}
	}
}

// reading is what was read of one capture. It is the meter's Handler.
type reading struct {
	job       *job
	capture   Capture
	flows     []readFlow
	faults    []capture.Fault
	evicted   uint64 // flows that ended because the flow table was full
	processes bool   // some packet names its process

	opts  Options
	mem   *budget
	votes map[uint64]map[string]int // packets of each process, by flow ID, of live flows
	err   error                     // the first, which ends the reading
}

// readFlow is a flow with what may label it.
type readFlow struct {
	Flow
	first     uint64 // ordinal of its first packet
	process   string // of most of its packets
	join      *tableJoin
	row       int32
	ambiguous bool
}

// readCapture reads one capture. Damage in it is no error.
func readCapture(j *job, opts Options, mem *budget) (*reading, error) {
	r := &reading{job: j, opts: opts, mem: mem, votes: make(map[uint64]map[string]int)}
	r.capture = Capture{Path: j.path, Label: j.label, Facts: j.facts, First: math.MaxInt64, Last: math.MinInt64}
	if j.label == "" {
		r.capture.Label = j.folder
	}
	if sum, size, err := capture.Hash(j.path); err == nil { // an unreadable file is a fault below
		r.capture.SHA256, r.capture.Bytes = sum, size
	}
	config := meter.Config{Flow: opts.Flow, Tunnels: opts.Tunnels}
	config.Flow.PayloadMemory = int(opts.Memory)
	if config.Flow.Memory == 0 {
		config.Flow.Memory = flowMemory
	}
	m, err := meter.New(config, 1, func(int) meter.Handler { return r })
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	in, err := capture.Open([]string{j.path})
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	defer in.Close()
	batch := make([]capture.Packet, 64)
	for r.err == nil {
		n, err := in.Read(batch)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		for i := range batch[:n] {
			r.capture.First = min(r.capture.First, batch[i].Nanos)
			r.capture.Last = max(r.capture.Last, batch[i].Nanos)
		}
		m.Add(batch[:n])
	}
	m.Close()
	if r.err != nil {
		return nil, r.err
	}
	counters := m.Counters()
	if counters.Flow.OpeningsShort > 0 {
		return nil, mem.exceeded()
	}
	r.faults = in.Faults()
	for _, n := range counters.Flow.Evicted {
		r.evicted += n
	}
	r.capture.Packets = counters.Packets
	if counters.Packets == 0 {
		r.capture.First, r.capture.Last = 0, 0
	}
	r.capture.Start = r.capture.First
	if j.start != 0 {
		r.capture.Start = j.start
	}
	slices.SortFunc(r.flows, func(a, b readFlow) int { return cmp.Compare(a.first, b.first) })
	return r, nil
}

// Packet implements meter.Handler.
func (r *reading) Packet(p *meter.Packet) {
	name, _, ok := capture.ParseProcess(p.Capture.Comment)
	if !ok {
		return
	}
	r.processes = true
	id := p.Flow.ID()
	votes := r.votes[id]
	if votes == nil {
		votes = make(map[string]int)
		r.votes[id] = votes
	}
	votes[clean(string(name))]++
}

// Ended implements meter.Handler. Flows without payload are kept as far as rows are concerned:
// a row that found one is not a row without a flow.
func (r *reading) Ended(f *flow.Flow, _ uint64) {
	r.capture.Flows++
	ended := readFlow{first: f.FirstPacket, row: -1, process: majority(r.votes[f.ID()])}
	delete(r.votes, f.ID())
	for _, join := range r.job.joiners {
		row, m := join.find(f.Key, f.Start, f.Last)
		ended.ambiguous = ended.ambiguous || m == ambiguous
		if m == oneRow {
			ended.join, ended.row, ended.ambiguous = join, row, false
			break
		}
	}
	empty := len(f.Opening) == 0
	if empty {
		r.capture.NoPayload++
		if ended.join == nil {
			return
		}
	}
	ended.Flow = Flow{
		Key: f.Key, Start: f.Start, Last: f.Last,
		Packets: f.Packets, Bytes: f.Bytes, PayloadBytes: f.PayloadBytes,
	}
	cost := flowOverhead
	if !empty {
		ended.Opening = make([]flow.Payload, len(f.Opening))
		for i, p := range f.Opening {
			cost += len(p.Data) + payloadOverhead
			ended.Opening[i] = flow.Payload{Nanos: p.Nanos, Dir: p.Dir, Len: p.Len, Data: slices.Clone(p.Data)}
		}
	}
	if err := r.mem.take(cost); err != nil {
		r.err = err
		return
	}
	r.flows = append(r.flows, ended)
}

// labelOf returns a flow's label, the most specific one that there is, and the row it came from.
// It is asked once the whole capture is read: whether a capture bears process labels is not
// known before.
func (r *reading) labelOf(f *readFlow) (label string, row int32) {
	switch {
	case f.join != nil:
		return f.join.labels[f.join.rows[f.row].label], f.row
	case r.job.label != "":
		return r.job.label, -1
	case r.processes:
		return f.process, -1
	}
	return r.job.folder, -1
}

// majority returns the name with most votes, of several the first in order of bytes.
func majority(votes map[string]int) string {
	best, most := "", 0
	for name, n := range votes {
		if n > most || n == most && name < best {
			best, most = name, n
		}
	}
	return best
}

// readImages reads the IDX files of a set with their labels.
func (s *Set) readImages(paths []string, mem *budget) error {
	for _, path := range paths {
		dims, pixels, err := readIDXFile(path)
		if err != nil {
			return err
		}
		if len(dims) != idxImages {
			return fmt.Errorf("dataset: %s: %w: %d dimensions, images have 3", path, ErrIDX, len(dims))
		}
		labelsPath, err := labelsBeside(path)
		if err != nil {
			return err
		}
		labelDims, labels, err := readIDXFile(labelsPath)
		if err != nil {
			return err
		}
		switch {
		case len(labelDims) != idxLabels || labelDims[0] != dims[0]:
			return fmt.Errorf("dataset: %s: %w: labels of dimensions %d for %d images", labelsPath, ErrIDX, labelDims, dims[0])
		case s.Images != nil && (dims[1] != s.Rows || dims[2] != s.Columns):
			return fmt.Errorf("dataset: %s: images of %d×%d pixels, others have %d×%d", path, dims[1], dims[2], s.Rows, s.Columns)
		}
		names, err := classNames(path)
		if err != nil {
			return err
		}
		if err := mem.take(len(pixels) + dims[0]*payloadOverhead); err != nil {
			return err
		}
		sum, size, err := capture.Hash(path)
		if err != nil {
			return fmt.Errorf("dataset: %w", err)
		}
		s.Rows, s.Columns = dims[1], dims[2]
		area := s.Rows * s.Columns
		for i := range dims[0] {
			label, ok := names[int(labels[i])]
			if !ok {
				label = fmt.Sprint(labels[i])
			}
			s.Images = append(s.Images, Image{Capture: len(s.Captures), Label: label, Pixels: pixels[i*area : (i+1)*area : (i+1)*area]})
		}
		s.Captures = append(s.Captures, Capture{Name: below(s.Dir, path), Path: path, SHA256: sum, Bytes: size})
	}
	return nil
}

func readIDXFile(path string) (dims []int, elements []byte, err error) {
	r, err := openData(path)
	if err != nil {
		return nil, nil, fmt.Errorf("dataset: %w", err)
	}
	defer r.Close()
	if dims, elements, err = ReadIDX(r); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return dims, elements, nil
}

// labelsBeside returns the file of labels that belongs to a file of images.
func labelsBeside(images string) (string, error) {
	stem := strings.TrimSuffix(uncompressed(images), imagesEnding) + labelsEnding
	for _, ending := range []string{"", ".gz", ".zst"} {
		if _, err := os.Stat(stem + ending); err == nil {
			return stem + ending, nil
		}
	}
	return "", fmt.Errorf("dataset: %s: no %s beside it", images, filepath.Base(stem))
}
