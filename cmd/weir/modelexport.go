package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/nn/graph"
	"github.com/weirnet/weir/nn/onnx"
)

// Networks of a model, of which an ONNX file has one.
const (
	packetNetwork  = "packet"
	flowNetwork    = "flow"
	windowsNetwork = "windows"
)

// Keys of the metadata in ONNX files, docs/formats.md.
const (
	metaModel         = "weir.model"
	metaNetwork       = "weir.network"
	metaFeatures      = "weir.features"
	metaLabels        = "weir.labels"
	metaSettings      = "weir.settings"
	metaPreprocessing = "weir.preprocessing"
)

func newModelExport(g *shared) *cobra.Command {
	var onnxFile, tensorFile, network string
	c := &cobra.Command{
		Use:   "export NAME[@VERSION] --onnx FILE | --safetensors FILE",
		Short: "Write a model for other programs: a network as ONNX, or all of it as safetensors",
		Long: `Write a model for other programs (docs/formats.md, docs/pytorch.md). An ONNX file holds one network,
with standard operators alone, and in its metadata labels and preprocessing. A safetensors file holds
all weights by name and what the model is; 'weir model import' reads it on another machine, or after
its weights were trained further elsewhere.`,
		Example: `  weir model export apps --onnx packet.onnx
  weir model export apps@20261122-1 --safetensors apps.safetensors`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if onnxFile == "" && tensorFile == "" {
				return usageError{errors.New("--onnx or --safetensors is needed")}
			}
			if network != "" && onnxFile == "" {
				return usageError{errors.New("--network chooses what goes into --onnx")}
			}
			p, err := g.registry().Load(args[0])
			if err != nil {
				return err
			}
			if onnxFile != "" {
				m, err := g.onnxOf(p, network)
				if err != nil {
					return err
				}
				f, finish, err := output(onnxFile)
				if err != nil {
					return err
				}
				if err := finish(onnx.Write(f, m)); err != nil {
					return err
				}
				g.info("%s of %s in %s", m.Metadata[metaNetwork], p.Ref(), onnxFile)
			}
			if tensorFile == "" {
				return nil
			}
			f, finish, err := output(tensorFile)
			if err != nil {
				return err
			}
			if err := finish(p.Write(f)); err != nil {
				return err
			}
			g.info("%s in %s", p.Ref(), tensorFile)
			return nil
		},
	}
	c.Flags().StringVar(&onnxFile, "onnx", "", "file for a network as ONNX (- for stdout)")
	c.Flags().StringVar(&tensorFile, "safetensors", "", "file for all weights and what they are (- for stdout)")
	c.Flags().StringVar(&network, "network", "", "with --onnx: packet, flow or windows (default packet; of detectors, windows)")
	return c
}

// onnxOf returns one of the networks of a model.
func (g *shared) onnxOf(p *model.Package, network string) (*onnx.Model, error) {
	var net *graph.Graph
	var how string
	switch p.Kind {
	case model.Apps:
		m, _, err := g.loadApps(p.Ref())
		if err != nil {
			return nil, err
		}
		if network == "" {
			network = packetNetwork
		}
		switch network {
		case packetNetwork:
			net, how = m.PacketGraph(), m.Arch.PacketInputs()
		case flowNetwork:
			net, how = m.FlowGraph(m.Arch.Packets), m.Arch.FlowInputs()
		}
	case model.Anomaly:
		m, _, err := g.loadAnomaly(p.Ref())
		if err != nil {
			return nil, err
		}
		if network == "" {
			network = windowsNetwork
		}
		if network == windowsNetwork {
			net, how = m.Graph(), anomaly.Inputs
		}
	}
	if net == nil {
		return nil, usageError{fmt.Errorf("%s, a model for %q, has no %s network", p.Ref(), p.Kind, network)}
	}
	labels, err := json.Marshal(p.Labels)
	if err != nil {
		return nil, err
	}
	return &onnx.Model{Graph: net, Producer: "weir", Version: p.Weir, Metadata: map[string]string{
		metaModel: p.Ref(), metaNetwork: network, metaFeatures: p.Features,
		metaLabels: string(labels), metaSettings: string(p.Settings), metaPreprocessing: how,
	}}, nil
}

// preprocessing is what an ONNX file that weir wrote says of payloads.
func preprocessing(m *onnx.Model) (o classify.ImportOptions, labels []string, err error) {
	if text, ok := m.Metadata[metaLabels]; ok {
		if err := json.Unmarshal([]byte(text), &labels); err != nil {
			return o, nil, fmt.Errorf("metadata %s: %w", metaLabels, err)
		}
	}
	text, ok := m.Metadata[metaSettings]
	if !ok || m.Metadata[metaNetwork] != packetNetwork {
		return o, labels, nil
	}
	var s classify.Settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return o, nil, fmt.Errorf("metadata %s: %w", metaSettings, err)
	}
	o.Normaliser, o.Packets, o.Temperature = s.Arch.Normaliser, s.Arch.Packets, s.PacketTemperature
	return o, labels, nil
}
