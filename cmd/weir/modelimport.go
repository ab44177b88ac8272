package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/nn/onnx"
	"github.com/weirnet/weir/window"
)

// maxImport bounds the file that is imported.
const maxImport = 1 << 30

// importFlags are the flags of `weir model import`.
type importFlags struct {
	name, labels string
	network      classify.ImportOptions
	scale        float32
	noPromote    bool
}

func newModelImport(g *shared) *cobra.Command {
	f := new(importFlags)
	c := &cobra.Command{
		Use:   "import FILE.onnx --labels FILE | FILE.safetensors",
		Short: "Take a network made elsewhere, or a model written by export, as a new version",
		Long: `Take a network made elsewhere (ONNX) as the packet network of a new model, or a model that 'weir model
export --safetensors' wrote, with the weights that it has now. What kind of file it is shows its
content. docs/formats.md says what networks can be read and what they are fed; what cannot be read is
refused with the operator's name.`,
		Example: `  weir model import net.onnx --labels labels.txt --name apps
  weir model import apps.safetensors --no-promote`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return g.importModel(args[0], f) },
	}
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "", "name of the model (default the file's, without its ending)")
	flags.StringVar(&f.labels, "labels", "", "of ONNX: file with a label per line, in the order of the network's outputs (default those in the file's metadata)")
	flags.StringVar(&f.network.Output, "output", "", "of ONNX: the output with the labels' scores (default the only one, or \"scores\")")
	flags.Float32Var(&f.scale, "scale", 1./255, "of ONNX: what payload bytes are multiplied by for an input of floats")
	flags.IntVar(&f.network.Packets, "packets", 0, "of ONNX: T, payload packets of a flow that are looked at (default 10)")
	flags.BoolVar(&f.noPromote, "no-promote", false, "keep the version that is live")
	return c
}

func (g *shared) importModel(file string, f *importFlags) error {
	if f.network.Packets < 0 || !(f.scale > 0) || f.scale-f.scale != 0 {
		return usageError{fmt.Errorf("--packets %d, --scale %g: must be more than 0", f.network.Packets, f.scale)}
	}
	if f.name == "" {
		f.name = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	data, err := readWhole(file)
	if err != nil {
		return err
	}
	p, err := f.read(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	p.Name = f.name
	if err := g.checkModelName(f.name, p.Kind); err != nil {
		return err
	}
	return g.keep(p, !f.noPromote)
}

// readWhole reads a file or what a pipe gives, whose length nobody knows before.
func readWhole(file string) (data []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() <= maxImport {
		if data, err = io.ReadAll(io.LimitReader(f, maxImport+1)); err != nil {
			return nil, err
		}
	}
	if size := max(info.Size(), int64(len(data))); size > maxImport {
		return nil, fmt.Errorf("%s: %d bytes or more, at most %d are read", file, size, maxImport)
	}
	return data, nil
}

// read makes a package of a file's content.
func (f *importFlags) read(data []byte) (*model.Package, error) {
	if len(data) > 8 && data[8] == '{' {
		return f.readTensors(data)
	}
	return f.readONNX(data)
}

// elsewhere says in a record of a split that not all is known that a network was trained on.
func elsewhere(r *dataset.Record, how string) {
	if r.Summary != "" {
		how += "; before: " + r.Summary
	}
	r.Rule, r.Summary = dataset.Unknown, how
}

func (f *importFlags) readTensors(data []byte) (*model.Package, error) {
	if f.labels != "" || f.network.Output != "" || f.network.Packets != 0 {
		return nil, usageError{errors.New("--labels, --output and --packets are for ONNX: a safetensors file says what it is")}
	}
	p, changed, err := model.Read(data)
	if err != nil {
		return nil, err
	}
	var apps *classify.Model
	switch p.Kind {
	case model.Apps:
		if err = p.Check(model.Apps, classify.FeatureVersion); err == nil {
			apps, err = classify.Load(p.Settings, p.Labels, p.Weights)
		}
	case model.Anomaly:
		if err = p.Check(model.Anomaly, window.FeatureVersion); err == nil {
			_, err = anomaly.Load(p.Settings, p.Weights)
		}
	default:
		err = fmt.Errorf("a model for %q", p.Kind)
	}
	if err != nil || !changed {
		return p, err
	}
	const how = "the weights were changed outside of weir, by what is not known"
	p.Notes = append(p.Notes, how+": temperatures and thresholds are those of the weights before")
	if apps != nil {
		apps.Int8 = nil // ranges of the values before
		if p.Settings, _, err = apps.Save(); err != nil {
			return nil, err
		}
	}
	p.Training.Files = append(p.Training.Files, model.DataFile{Name: "(weights from elsewhere)"})
	if p.Kind == model.Apps {
		var split dataset.Record
		if p.Training.Split != nil {
			if err := json.Unmarshal(p.Training.Split, &split); err != nil {
				return nil, fmt.Errorf("split: %w", err)
			}
		}
		elsewhere(&split, how)
		if p.Training.Split, err = json.Marshal(split); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (f *importFlags) readONNX(data []byte) (*model.Package, error) {
	net, err := onnx.Parse(data)
	if err != nil {
		return nil, err
	}
	o, labels, err := preprocessing(net)
	if err != nil {
		return nil, err
	}
	if f.labels != "" {
		if labels, err = readLabels(f.labels); err != nil {
			return nil, err
		}
	}
	if labels == nil {
		return nil, usageError{errors.New("--labels is needed: the file names none")}
	}
	if kind := net.Metadata[metaNetwork]; kind != "" && kind != packetNetwork {
		return nil, fmt.Errorf("a %s network of weir: only packet networks are taken from ONNX, whole models from safetensors", kind)
	}
	o.Output, o.Scale = f.network.Output, f.scale
	if f.network.Packets > 0 {
		o.Packets = f.network.Packets
	}
	m, err := classify.Import(net.Graph, labels, o)
	if err != nil {
		return nil, err
	}
	p := &model.Package{Manifest: model.Manifest{
		Kind: model.Apps, Weir: version, Profile: m.Arch.Profile, Features: classify.FeatureVersion, Labels: labels,
		Notes: []string{fmt.Sprintf("a packet network made by %s %s: nothing is known of its training, its confidence is not calibrated and novelty is not judged",
			orUnknown(net.Producer), net.Version)},
	}}
	var split dataset.Record
	elsewhere(&split, "a network made elsewhere, trained on what is not known")
	if p.Training.Split, err = json.Marshal(split); err != nil {
		return nil, err
	}
	p.Settings, p.Weights, err = m.Save()
	return p, err
}

func orUnknown(name string) string {
	if name == "" {
		return "an unknown program"
	}
	return name
}

// readLabels reads a label per line.
func readLabels(file string) ([]string, error) {
	data, err := readWhole(file)
	if err != nil {
		return nil, err
	}
	var labels []string
	for line := range bytes.Lines(data) {
		label := strings.TrimRight(string(line), "\r\n")
		if label == "" {
			return nil, fmt.Errorf("%s: line %d is empty", file, len(labels)+1)
		}
		labels = append(labels, label)
	}
	return labels, nil
}
