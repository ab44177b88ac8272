package classify

import (
	"math/bits"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
)

// textNetwork reads bytes as a text in two ways. A convolution over embedded bytes, strided, and a
// dense layer over all its places know what stands where: headers, fields, lengths. Beside it a bag
// of runs of four bytes knows what stands anywhere: names, agents, paths, whose place moves with
// whatever stands before them (docs/rationale.md has what each brings).
type textNetwork struct {
	bytes     int
	embedding *nn.Embedding
	conv      *nn.ConvNorm
	grams     *grams // nil without
	concat    *nn.Concat
	dense     nn.Sequential
}

func newTextNetwork(a *Architecture) *textNetwork {
	conv := nn.NewConv1D("packet.conv", a.Normaliser.Bytes, a.ByteSize, a.Filters, a.Width, a.Stride)
	m := &textNetwork{
		bytes:     a.Normaliser.Bytes,
		embedding: nn.NewEmbedding("packet.embedding", padding+1, a.ByteSize),
		conv:      nn.NewConvNorm(conv, nn.NewBatchNormReLU("packet.conv.bn", a.Filters)),
	}
	width := conv.Out.Size()
	if a.Grams > 0 {
		m.grams = &grams{
			shift: 32 - bits.Len(uint(a.Grams-1)), drop: a.GramDrop,
			bag:  nn.NewBag("packet.grams", a.Grams, a.GramSize),
			norm: nn.NewBatchNorm("packet.grams.bn", a.GramSize),
		}
		m.concat = &nn.Concat{Widths: []int{width, a.GramSize}}
		width += a.GramSize
	}
	m.dense = nn.Sequential{
		nn.NewDense("packet.dense", width, a.Encoding), nn.NewBatchNormReLU("packet.dense.bn", a.Encoding),
	}
	return m
}

func (m *textNetwork) Forward(p nn.Pass, rows []uint16) []float32 {
	x := m.conv.Forward(p, m.embedding.Forward(rows))
	if m.grams != nil {
		x = m.concat.Forward(x, m.grams.Forward(p, rows, m.bytes))
	}
	return m.dense.Forward(p, x)
}

func (m *textNetwork) Backward(dy []float32) {
	dy = m.dense.Backward(dy)
	if m.grams != nil {
		parts := m.concat.Backward(dy)
		m.grams.Backward(parts[1])
		dy = parts[0]
	}
	m.embedding.Backward(m.conv.Backward(dy))
}

func (m *textNetwork) Params() []*nn.Param {
	ps := append(m.embedding.Params(), m.conv.Params()...)
	if m.grams != nil {
		ps = append(ps, m.grams.bag.Params()...)
		ps = append(ps, m.grams.norm.Params()...)
	}
	return append(ps, m.dense.Params()...)
}

func (m *textNetwork) graph(g *graph.Graph) graph.Value {
	bytes := g.Input("bytes", graph.Index, graph.Sequence(m.bytes, 1))
	x := m.conv.Graph(g, m.embedding.Graph(g, bytes))
	if m.grams != nil {
		x = g.Apply("packet.conv.reshape", graph.Reshape{To: graph.Vector(g.Nodes[x].Shape.Size())}, x)
		runs := g.Input("grams", graph.Index, graph.Sequence(m.bytes-gramSize+1, 1))
		x = g.Apply("packet.concat", graph.Concat{}, x, m.grams.norm.Graph(g, m.grams.bag.Graph(g, runs)))
	}
	return m.dense.Graph(g, x)
}

// gramSize is the length of the runs of bytes that are hashed: enough to be telling of a name, few
// enough that one changed byte hides little.
const gramSize = 4

// grams maps rows of bytes to the bags of their runs of four bytes, normalised over the batch.
type grams struct {
	shift int     // bits of the hash that are dropped
	drop  float64 // share of the runs that are hidden in training
	bag   *nn.Bag
	norm  *nn.BatchNorm

	index  []uint16
	counts []int
}

func (g *grams) Forward(p nn.Pass, rows []uint16, width int) []float32 {
	g.index, g.counts = g.index[:0], g.counts[:0]
	for i := 0; i < len(rows); i += width {
		before := len(g.index)
		g.index = appendGrams(g.index, rows[i:i+width], g.shift)
		g.counts = append(g.counts, len(g.index)-before)
	}
	if p.Train && g.drop > 0 {
		g.hide(random(p, drawGrams))
	}
	return g.norm.Forward(p, g.bag.Forward(g.index, g.counts))
}

func (g *grams) Backward(dy []float32) { g.bag.Backward(g.norm.Backward(dy)) }

// hide takes some of the runs away: those of one long name are many, and a network would lean on
// the first that it finds.
func (g *grams) hide(r *nn.Rand) {
	kept, at := g.index[:0], 0
	for i, n := range g.counts {
		before := len(kept)
		for _, k := range g.index[at : at+n] {
			if r.Float64() >= g.drop {
				kept = append(kept, k)
			}
		}
		at += n
		g.counts[i] = len(kept) - before
	}
	g.index = kept
}

// appendGrams appends the hash of every run of four bytes of a row, up to its padding. The hash is
// multiplicative (Knuth 1998, section 6.4): its upper bits depend on all four bytes.
func appendGrams(dst []uint16, row []uint16, shift int) []uint16 {
	run := uint32(0)
	for i, b := range row {
		if b == padding {
			break
		}
		run = run<<8 | uint32(b)
		if i >= gramSize-1 {
			dst = append(dst, uint16(run*0x9e3779b1>>shift))
		}
	}
	return dst
}
