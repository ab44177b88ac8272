package classify

import (
	"errors"
	"fmt"
	"time"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
)

// Architecture is everything that fixes the shape of the two networks and of what they are fed.
type Architecture struct {
	Profile    string     `json:"profile"`
	Classes    int        `json:"classes"`
	Packets    int        `json:"packets"` // T: payload packets of a flow that are looked at
	Normaliser Normaliser `json:"normaliser"`

	// Imported is the packet network when it was made elsewhere; the fields from here to Stride are of no
	// meaning then but for Encoding.
	Imported *Imported `json:"imported,omitempty"`

	Residual bool `json:"residual"` // packet network: residual CNN over an image; otherwise byte embedding and 1-D convolution
	Encoding int  `json:"encoding"` // width of the packet network's last hidden layer
	ByteSize int  `json:"byte_size,omitempty"`
	Filters  int  `json:"filters,omitempty"`
	Width    int  `json:"width,omitempty"`  // places that a filter sees
	Stride   int  `json:"stride,omitempty"` // places between filters
	Grams    int  `json:"grams,omitempty"`  // vectors that runs of four bytes are hashed to, a power of two; 0: none
	GramSize int  `json:"gram_size,omitempty"`

	Flow       bool    `json:"flow"`        // there is a flow network
	RawBytes   bool    `json:"raw_bytes"`   // it reads the payload bytes; otherwise the packet network's encoding, length and scalars
	LengthSize int     `json:"length_size"` // width of the length embedding
	Hidden     int     `json:"hidden"`
	Layers     int     `json:"layers"`
	Dropout    float64 `json:"dropout"`      // before and after the recurrent layers, in training
	ByteDrop   float64 `json:"byte_dropout"` // share of packets whose encoding the flow network must do without, in training

	Shift    float64 `json:"shift"`        // share of packets whose raw bytes are moved, in training
	GramDrop float64 `json:"gram_dropout"` // share of the runs of four bytes that are hidden, in training

	Early float64 `json:"early"` // confidence at which a flow is decided before T packets; above 1: never
}

// Profiles of networks.
const (
	Paper   = "paper"   // as paper A has them
	Default = "default" // chosen by measurement, docs/performance.md
)

// ImageSide is the side of the paper's payload image: 28 × 28 bytes (Wang et al. 2017).
const ImageSide = 28

// NewArchitecture returns the architecture of a profile.
//
// Paper: the packet network has eleven hidden layers, a stem convolution, three bottleneck blocks
// of three convolutions and one dense layer; the flow network is an LSTM of two layers over the
// first T payloads of 784 bytes.
func NewArchitecture(profile string, classes int) (Architecture, error) {
	switch profile {
	case Paper:
		return Architecture{
			Profile: Paper, Classes: classes, Packets: 10,
			Normaliser: Normaliser{Bytes: ImageSide * ImageSide},
			Residual:   true, Encoding: 128,
			Flow: true, RawBytes: true, Hidden: 128, Layers: 2,
			Dropout: 0.3, Shift: 0.9, Early: 2,
		}, nil
	case Default:
		return Architecture{
			Profile: Default, Classes: classes, Packets: 10,
			Normaliser: Normaliser{Bytes: 256, Collapse: true, Runs: true, DHCP: true},
			Encoding:   96, ByteSize: 8, Filters: 32, Width: 8, Stride: 4,
			Grams: 8192, GramSize: 32, GramDrop: 0.2,
			Flow: true, LengthSize: 16, Hidden: 128, Layers: 1,
			Dropout: 0.4, ByteDrop: 0, Early: 0.95,
		}, nil
	}
	return Architecture{}, fmt.Errorf("classify: profile %q: there are %q and %q", profile, Default, Paper)
}

// Check refuses an architecture that cannot be built: one from a damaged or hostile model.
func (a *Architecture) Check() error {
	n := a.Normaliser.Bytes
	within := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("classify: %s is %d, want %d to %d", name, v, low, high)
		}
		return nil
	}
	type bound struct {
		name         string
		v, low, high int
	}
	bounds := []bound{{"classes", a.Classes, 2, 4096}, {"packets", a.Packets, 1, 256}, {"bytes", n, 8, maxBytes}, {"encoding", a.Encoding, 1, 4096}}
	if a.Grams != 0 {
		bounds = append(bounds, bound{"grams", a.Grams, 2, 1 << 16}, bound{"gram_size", a.GramSize, 1, 4096})
	}
	switch {
	case a.Imported != nil:
	case a.Residual:
		bounds = append(bounds, bound{"bytes", n, ImageSide * ImageSide, ImageSide * ImageSide})
	default:
		bounds = append(bounds, bound{"byte_size", a.ByteSize, 1, 256}, bound{"filters", a.Filters, 1, 1024},
			bound{"width", a.Width, 1, n}, bound{"stride", a.Stride, 1, n})
	}
	if a.Flow {
		bounds = append(bounds, bound{"hidden", a.Hidden, 1, 4096}, bound{"layers", a.Layers, 1, 8})
		if !a.RawBytes {
			bounds = append(bounds, bound{"length_size", a.LengthSize, 1, 256})
		}
	}
	for _, b := range bounds {
		if err := within(b.name, b.v, b.low, b.high); err != nil {
			return err
		}
	}
	if a.Grams&(a.Grams-1) != 0 {
		return fmt.Errorf("classify: grams is %d, want a power of two", a.Grams)
	}
	for _, rate := range [...]float64{a.Dropout, a.ByteDrop, a.GramDrop, a.Shift} {
		if !(rate >= 0 && rate < 1) {
			return errors.New("classify: dropout outside [0, 1)")
		}
	}
	return nil
}

// Lengths of payloads that have an embedding of their own, by direction; longer ones share the
// last. 1024 covers what tells applications apart; full segments differ by path MTU, not by
// application.
const lengthBuckets = 1024

// scalars is how many numbers the flow network gets beside encoding and length.
const scalars = 6

// padding is the index of the embedding for places after the payload's end.
const padding = 256

// newPacketNetwork returns the layers from bytes to encoding.
func (a *Architecture) newPacketNetwork() packetNetwork {
	if a.Imported != nil {
		return &importedNetwork{arch: a}
	}
	if a.Residual {
		stem := nn.NewConv2D("packet.stem.conv", nn.Image{Height: ImageSide, Width: ImageSide, Channels: 1}, 16, 3, 2, 1)
		stem.Leaf = true
		block1 := nn.NewBottleneck("packet.block1", stem.Out, 16, 64, 1)
		block2 := nn.NewBottleneck("packet.block2", block1.Out, 32, 128, 2)
		block3 := nn.NewBottleneck("packet.block3", block2.Out, 64, 256, 2)
		return &imageNetwork{layers: nn.Sequential{
			nn.NewConvNorm(stem, nn.NewBatchNormReLU("packet.stem.bn", stem.Out.Channels)),
			block1, block2, block3,
			nn.NewGlobalAvgPool(block3.Out),
			nn.NewDense("packet.dense", block3.Out.Channels, a.Encoding), new(nn.ReLU),
		}}
	}
	return newTextNetwork(a)
}

// packetNetwork maps rows of normalised bytes to encodings.
type packetNetwork interface {
	Forward(p nn.Pass, rows []uint16) []float32
	Backward(dy []float32)
	Params() []*nn.Param
	// graph adds the inputs and layers to a graph and returns the encoding.
	graph(g *graph.Graph) graph.Value
}

// imageNetwork is paper A's: bytes scaled to [0, 1] as a 28 × 28 image, residual blocks.
type imageNetwork struct {
	layers nn.Sequential
	pixels []float32
}

func (m *imageNetwork) Forward(p nn.Pass, rows []uint16) []float32 {
	m.pixels = scaleBytes(m.pixels, rows)
	return m.layers.Forward(p, m.pixels)
}

func (m *imageNetwork) Backward(dy []float32) { m.layers.Backward(dy) }
func (m *imageNetwork) Params() []*nn.Param   { return m.layers.Params() }

func (m *imageNetwork) graph(g *graph.Graph) graph.Value {
	return m.layers.Graph(g, bytesToPixels(g, g.Input("bytes", graph.Byte, nn.Image{Height: ImageSide, Width: ImageSide, Channels: 1})))
}

// bytesToPixels adds scaleBytes for places of one channel.
func bytesToPixels(g *graph.Graph, x graph.Value) graph.Value {
	return g.Apply("pixels", graph.Affine{Gain: []float32{1. / 255}, Offset: []float32{0}}, x)
}

// scaleBytes maps bytes to [0, 1] and padding to 0.
func scaleBytes(dst []float32, rows []uint16) []float32 {
	if cap(dst) < len(rows) {
		dst = make([]float32, len(rows))
	}
	dst = dst[:len(rows)]
	for i, b := range rows {
		dst[i] = float32(b&^padding) / 255
	}
	return dst
}

// timeScale is the inter-arrival time that the scalar 1 stands for, on a logarithmic scale.
const timeScale = time.Second
