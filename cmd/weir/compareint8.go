package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/weirnet/weir/classify"
)

// tellRounding writes what rounding the networks of a model to int8 costs, a line for each.
func tellRounding(w io.Writer, before string, q *classify.Int8, packets, flows string) {
	tell := func(network, samples string, r *classify.Rounding) {
		numbers := "float32"
		if r.Used {
			numbers = "int8"
		}
		fmt.Fprintf(w, "%s%s network in %s: accuracy %.2f %% in int8, %.2f %% in float32, the same answer for %.2f %% of %d %s\n",
			before, network, numbers, 100*r.Int8, 100*r.Float32, 100*r.Agreement, r.Samples, samples)
	}
	tell("packet", packets, &q.Packet)
	if q.Flow != nil {
		tell("flow", flows, q.Flow)
	}
}

// compareInt8 writes what int8 costs on samples of labels that the model knows, against the same networks in float32.
func (g *shared) compareInt8(w io.Writer, m *classify.Model, samples []*classify.Sample) error {
	samples = slices.DeleteFunc(samples, func(s *classify.Sample) bool { return s.Class < 0 })
	q, err := m.CompareInt8(samples, g.workers)
	if err != nil {
		return err
	}
	if q == nil {
		_, err = fmt.Fprintln(w, "int8: none of the networks runs in int8, or there is nothing to compare them on")
		return err
	}
	tellRounding(w, "", q, "packets", "flows")
	return nil
}
