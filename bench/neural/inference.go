//go:build unix

package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/nn/graph"
	"github.com/weirnet/weir/nn/infer"
	"github.com/weirnet/weir/nn/onnx"
)

// padding is the index that stands behind a payload's end.
const padding = 256

// inference runs a compiled network over its inputs, a batch after the other.
type inference struct {
	g      *graph.Graph
	p      *infer.Program
	w      *infer.Worker
	inputs string
	sets   []func(slot, sample int) // by input
	n      int                      // samples of the inputs
	batch  int
	at     int
}

func newInference(file, inputs, calibrate string, batch int) (*inference, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m, err := onnx.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	o := infer.Options{Batch: batch, Padding: padding}
	if calibrate != "" {
		if o.Ranges, err = ranges(m.Graph, calibrate); err != nil {
			return nil, err
		}
	}
	return compile(m.Graph, o, inputs)
}

// compile makes an inference of a graph and a directory of inputs.
func compile(g *graph.Graph, o infer.Options, inputs string) (*inference, error) {
	p, err := infer.Compile(g, o)
	if err != nil {
		return nil, err
	}
	return newWorker(g, p, inputs, max(o.Batch, 1))
}

func newWorker(g *graph.Graph, p *infer.Program, inputs string, batch int) (*inference, error) {
	r := &inference{g: g, p: p, w: p.NewWorker(), inputs: inputs, batch: batch}
	return r, r.feed(r.w, inputs)
}

// beside returns another worker of the same program, on the same inputs.
func (r *inference) beside() (runner, error) { return newWorker(r.g, r.p, r.inputs, r.batch) }

// ranges runs a network over inputs and returns what its values were.
func ranges(g *graph.Graph, inputs string) (infer.Ranges, error) {
	p, err := infer.Compile(g, infer.Options{Padding: padding})
	if err != nil {
		return nil, err
	}
	o := p.NewObserver()
	r := &inference{g: g, w: o.Worker, batch: 1}
	if err := r.feed(o.Worker, inputs); err != nil {
		return nil, err
	}
	for range r.n {
		r.set()
		o.Run(1)
		o.Look()
	}
	return o.Ranges(), nil
}

// feed reads the inputs of a directory: DIR/NAME for each, little endian, bytes as uint8, indices as
// int64 and all else as float32. Payloads are given to their end alone, as service does.
func (r *inference) feed(w *infer.Worker, dir string) error {
	for k, v := range r.g.Inputs {
		in := &r.g.Nodes[v]
		data, err := os.ReadFile(filepath.Join(dir, in.Name))
		if err != nil {
			return err
		}
		size := in.Shape.Size()
		width := 4
		switch in.Op {
		case graph.Input{Kind: graph.Byte}:
			width = 1
			r.sets = append(r.sets, func(slot, sample int) {
				x := data[sample*size : (sample+1)*size]
				for len(x) > 0 && x[len(x)-1] == 0 {
					x = x[:len(x)-1]
				}
				w.SetBytes(k, slot, x)
			})
		case graph.Input{Kind: graph.Index}:
			width = 8
			x := make([]uint16, len(data)/8)
			for i := range x {
				x[i] = uint16(binary.LittleEndian.Uint64(data[8*i:]))
			}
			none := uint16(padding)
			if in.Name != "bytes" {
				none = most(r.g, v)
			}
			r.sets = append(r.sets, func(slot, sample int) {
				x := x[sample*size : (sample+1)*size]
				for len(x) > 0 && x[len(x)-1] == none {
					x = x[:len(x)-1]
				}
				w.SetIndices(k, slot, x)
			})
		default:
			x := make([]float32, len(data)/4)
			for i := range x {
				x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			}
			r.sets = append(r.sets, func(slot, sample int) { w.SetFloats(k, slot, x[sample*size:(sample+1)*size]) })
		}
		n := len(data) / width / size
		if n == 0 || k > 0 && n != r.n {
			return fmt.Errorf("%s has %d samples, want as many as the other inputs, and one", in.Name, n)
		}
		r.n = n
	}
	return nil
}

// most returns the index that stands for none in a bag of an input, or one that is none.
func most(g *graph.Graph, v graph.Value) uint16 {
	for i := range g.Nodes {
		if b, ok := g.Nodes[i].Op.(graph.Bag); ok && g.Nodes[i].In[0] == v {
			return uint16(b.Count)
		}
	}
	return math.MaxUint16
}

// set gives the next batch to the worker.
func (r *inference) set() {
	for slot := range r.batch {
		for _, set := range r.sets {
			set(slot, r.at)
		}
		if r.at++; r.at == r.n {
			r.at = 0
		}
	}
}

func (r *inference) next() {
	r.set()
	r.w.Run(r.batch)
}

func (r *inference) first() map[string][]float32 {
	r.next()
	out := map[string][]float32{}
	for k, o := range r.g.Outputs {
		for slot := range r.batch {
			out[o.Name] = append(out[o.Name], r.w.Output(k, slot)...)
		}
	}
	return out
}

// stepwise runs a flow network as service does: a packet of each of a batch of flows at a time, the
// state kept between them.
type stepwise struct {
	*inference
	packets int
	h, c    [][]float32
}

// newStepwise takes inputs of single packets; as many in a row as the model looks at are a flow.
func newStepwise(version, inputs, calibrate string, batch int) (*stepwise, error) {
	dir, v := filepath.Split(filepath.Clean(version))
	dir, name := filepath.Split(filepath.Clean(dir))
	p, err := (model.Registry{Dir: filepath.Clean(dir)}).Load(name + "@" + v)
	if err != nil {
		return nil, err
	}
	m, err := classify.Load(p.Settings, p.Labels, p.Weights)
	if err != nil {
		return nil, err
	}
	o := infer.Options{Batch: batch, Padding: padding}
	if calibrate != "" {
		if o.Ranges, err = ranges(m.FlowGraph(1), calibrate); err != nil {
			return nil, err
		}
	}
	program, err := infer.Compile(m.FlowGraph(1), o)
	if err != nil {
		return nil, err
	}
	w, err := newWorker(m.FlowGraph(1), program, inputs, batch)
	return newFlows(w, m.Arch.Packets), err
}

func newFlows(w *inference, packets int) *stepwise {
	r := &stepwise{inference: w, packets: packets}
	for range w.batch {
		r.h = append(r.h, make([]float32, w.p.State()))
		r.c = append(r.c, make([]float32, w.p.State()))
	}
	return r
}

// beside is as that of inference.
func (r *stepwise) beside() (runner, error) {
	w, err := newWorker(r.g, r.p, r.inputs, r.batch)
	return newFlows(w, r.packets), err
}

// next runs a batch of whole flows.
func (r *stepwise) next() {
	for packet := range r.packets {
		for slot := range r.batch {
			if packet == 0 {
				clear(r.h[slot])
				clear(r.c[slot])
			}
			for _, set := range r.sets {
				set(slot, (r.at+slot*r.packets+packet)%r.n)
			}
			r.w.SetState(slot, r.h[slot], r.c[slot])
		}
		r.w.Run(r.batch)
	}
	r.at = (r.at + r.batch*r.packets) % r.n
}

// first returns the outputs after the last packet.
func (r *stepwise) first() map[string][]float32 {
	r.next()
	out := map[string][]float32{}
	for k, o := range r.g.Outputs {
		for slot := range r.batch {
			out[o.Name] = append(out[o.Name], r.w.Output(k, slot)...)
		}
	}
	return out
}
