package storetest

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// memoryLabels are the samples and corrections of a Memory.
type memoryLabels struct {
	samples        []store.Sample
	forgotten      map[int64]bool // openings, by sample
	corrections    []store.Correction
	leaders        map[string][]store.Leader
	lastSample     int64
	lastGroup      int64
	lastCorrection int64
}

func (m *memoryLabels) find(s *store.Sample) *store.Sample {
	for i := range m.samples {
		if o := &m.samples[i]; o.Tuple.FlowID == s.Tuple.FlowID && o.Label.Sample.Start == kept(s.Label.Sample.Start) {
			return o
		}
	}
	return nil
}

func (m *memoryLabels) add(e *event.Event) {
	if e.Label.Sample == nil {
		return
	}
	one := store.Sample{At: e.Nanos, Tuple: *e.Tuple, Label: *e.Label}
	if m.find(&one) != nil {
		return
	}
	leaders := m.leaders[e.Label.Model]
	one.Group = store.NearestLeader(leaders, e.Label.Sample)
	if one.Group == 0 && store.MayLead(leaders, e.Label.Sample) {
		m.lastGroup++
		one.Group = m.lastGroup
		if m.leaders == nil {
			m.leaders = map[string][]store.Leader{}
		}
		m.leaders[e.Label.Model] = append(leaders, store.NewLeader(one.Group, e.Label.Sample.Embedding))
	}
	m.insert(one)
}

func (m *memoryLabels) insert(s store.Sample) {
	f := *s.Label.Sample
	f.Start, f.Opening, f.Embedding = kept(f.Start), slices.Clone(f.Opening), slices.Clone(f.Embedding)
	s.Label.Sample = &f
	s.At = int64(kept(event.Time(s.At)))
	m.lastSample++
	s.ID = m.lastSample
	m.samples = append(m.samples, s)
}

// prune drops groups without samples and corrections without flows.
func (m *memoryLabels) prune() {
	m.corrections = slices.DeleteFunc(m.corrections, func(c store.Correction) bool {
		return !slices.ContainsFunc(m.samples, func(s store.Sample) bool { return s.Correction == c.ID })
	})
	for model, leaders := range m.leaders {
		m.leaders[model] = slices.DeleteFunc(leaders, func(l store.Leader) bool {
			return !slices.ContainsFunc(m.samples, func(s store.Sample) bool { return s.Group == l.Group })
		})
	}
}

// retain removes what a policy says, the oldest first.
func (m *memoryLabels) retain(p store.Policy) (removed int64) {
	bytes, rows := int64(0), int64(0)
	size := func(s *store.Sample) int64 { return int64(len(s.Label.Sample.Embedding) + len(s.Label.Sample.Opening)) }
	old := func(s *store.Sample) bool { return p.Age > 0 && s.At < p.Now-int64(p.Age) }
	for i := range m.samples {
		if s := &m.samples[i]; s.Correction == 0 && !old(s) {
			bytes, rows = bytes+size(s), rows+1
		}
	}
	tooLarge, tooMany := max(bytes-p.Samples, 0), max(rows-store.MaxSamples, 0)
	if p.Samples == 0 {
		tooLarge = 0
	}
	tooLarge, tooMany = tooLarge+p.Samples/16*min(tooLarge, 1), tooMany+store.MaxSamples/16*min(tooMany, 1)
	m.samples = slices.DeleteFunc(m.samples, func(s store.Sample) bool {
		switch {
		case s.Correction != 0:
			return false
		case old(&s):
		case tooLarge > 0 || tooMany > 0:
			tooLarge, tooMany = tooLarge-size(&s), tooMany-1
		default:
			return false
		}
		removed++
		return true
	})
	if removed > 0 {
		m.prune()
	}
	return removed
}

// Groups implements store.Labeller.
func (m *Memory) Groups(_ context.Context, q store.GroupQuery) ([]store.Group, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var g store.Grouping
	for _, s := range m.labels.samples {
		if s.Group != 0 && (q.ID == 0 || q.ID == s.Group) && q.Contains(s.At) {
			m.labels.name(&s)
			g.Add(&s, int64(len(s.Label.Sample.Opening)))
		}
	}
	return g.Groups(), nil
}

// name fills in what the correction of a sample says.
func (m *memoryLabels) name(s *store.Sample) {
	for i := range m.corrections {
		if m.corrections[i].ID == s.Correction {
			s.App = m.corrections[i].App
		}
	}
}

// Samples implements store.Labeller.
func (m *Memory) Samples(_ context.Context, q store.SampleQuery) iter.Seq2[*store.Sample, error] {
	return func(yield func(*store.Sample, error) bool) {
		m.mu.Lock()
		all := slices.Clone(m.labels.samples)
		for i := range all {
			m.labels.name(&all[i])
		}
		m.mu.Unlock()
		if q.Newest {
			slices.Reverse(all)
		}
		n := 0
		for i := range all {
			s := &all[i]
			if q.Group != 0 && s.Group != q.Group || q.Corrected && s.Correction == 0 {
				continue
			}
			if !yield(s, nil) {
				return
			}
			if n++; n == q.Limit {
				return
			}
		}
	}
}

// Correct implements store.Labeller.
func (m *Memory) Correct(_ context.Context, c store.Correction) (store.Correction, error) {
	if err := c.Check(); err != nil {
		return c, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &m.labels
	id := l.lastCorrection + 1
	named := 0
	if c.Group != 0 {
		for i := range l.samples {
			if s := &l.samples[i]; s.Group == c.Group && s.Correction == 0 && (c.Port == 0 || s.Tuple.DestPort == c.Port) {
				s.Correction = id
				named++
			}
		}
		if named == 0 {
			return c, fmt.Errorf("memory: %w: %d", store.ErrNoGroup, c.Group)
		}
	} else if s := l.find(c.Of); s != nil {
		s.Correction = id
		if f := s.Label.Sample; len(f.Opening) == 0 {
			f.Opening = slices.Clone(c.Of.Label.Sample.Opening)
		}
	} else {
		one := *c.Of
		one.Group, one.Correction = 0, id
		l.insert(one)
	}
	l.lastCorrection = id
	c.ID, c.Of, c.At = id, nil, int64(kept(event.Time(c.At)))
	l.corrections = append(l.corrections, c)
	l.prune()
	return l.count(c), nil
}

// count returns a correction with its counts.
func (m *memoryLabels) count(c store.Correction) store.Correction {
	c.Flows, c.Openings = 0, 0
	for i := range m.samples {
		s := &m.samples[i]
		if s.Correction != c.ID {
			continue
		}
		if c.Flows++; c.Flows == 1 {
			c.Was, c.Example = s.Label.App, s.Tuple
		}
		if len(s.Label.Sample.Opening) > 0 {
			c.Openings++
		}
	}
	return c
}

// Corrections implements store.Labeller.
func (m *Memory) Corrections(context.Context) ([]store.Correction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []store.Correction
	for _, c := range m.labels.corrections {
		all = append(all, m.labels.count(c))
	}
	slices.SortFunc(all, func(a, b store.Correction) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// RemoveCorrection implements store.Labeller.
func (m *Memory) RemoveCorrection(_ context.Context, id int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &m.labels
	at := slices.IndexFunc(l.corrections, func(c store.Correction) bool { return c.ID == id })
	if at < 0 {
		return fmt.Errorf("memory: %w: %d", store.ErrNoCorrection, id)
	}
	l.corrections = slices.Delete(l.corrections, at, at+1)
	l.samples = slices.DeleteFunc(l.samples, func(s store.Sample) bool { return s.Correction == id && len(s.Label.Sample.Embedding) == 0 })
	for i := range l.samples {
		if l.samples[i].Correction == id {
			l.samples[i].Correction = 0
		}
	}
	return nil
}

// Openings implements store.Labeller.
func (m *Memory) Openings(_ context.Context, find func(uint64) *event.Sample) (found int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.labels.samples {
		s := &m.labels.samples[i]
		if f := s.Label.Sample; s.Correction != 0 && len(f.Opening) == 0 && !m.labels.forgotten[s.ID] {
			if o := find(s.Tuple.FlowID); o != nil && kept(o.Start) == f.Start {
				f.Opening = slices.Clone(o.Opening)
				found++
			}
		}
	}
	return found, nil
}

// Forget implements store.Labeller.
func (m *Memory) Forget(_ context.Context, all bool) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &m.labels
	before := len(l.samples)
	l.samples = slices.DeleteFunc(l.samples, func(s store.Sample) bool { return s.Correction == 0 })
	n := int64(before - len(l.samples))
	for i := range l.samples {
		s := &l.samples[i]
		if all && !l.forgotten[s.ID] {
			if l.forgotten == nil {
				l.forgotten = map[int64]bool{}
			}
			l.forgotten[s.ID] = true
			s.Label.Sample.Opening = nil
			n++
		}
	}
	return n, nil
}
