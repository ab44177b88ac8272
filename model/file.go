package model

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/weirnet/weir/nn/safetensors"
)

// A package as one safetensors file, for other programs and other machines: the weights by name, and
// in the metadata the manifest, the evaluation and a hash of the weights that both are of.
const (
	metaManifest   = "weir.manifest"
	metaEvaluation = "weir.evaluation"
	metaWeights    = "weir.weights"
)

// Write writes the package as one file.
func (p *Package) Write(w io.Writer) error {
	m := p.Manifest
	m.Files = nil
	manifest, err := json.Marshal(&m)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	metadata := map[string]string{metaManifest: string(manifest), metaWeights: digest(p.Weights)}
	if p.Evaluation != nil {
		metadata[metaEvaluation] = string(p.Evaluation)
	}
	if err := safetensors.Write(w, &safetensors.File{Metadata: metadata, Tensors: p.Weights}); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}

// Read reads a package that Write wrote, maybe with other weights since: changed reports whether they
// are, and then there is no evaluation. What kind, features and settings say is not yet checked against
// the weights; classify.Load and anomaly.Load do that.
func Read(data []byte) (p *Package, changed bool, err error) {
	file, err := safetensors.Parse(data)
	if err != nil {
		return nil, false, fmt.Errorf("model: %w", err)
	}
	manifest, ok := file.Metadata[metaManifest]
	if !ok {
		return nil, false, fmt.Errorf("model: the metadata has no %q: the tensors alone do not say what they mean", metaManifest)
	}
	p = &Package{Weights: file.Tensors}
	if err := json.Unmarshal([]byte(manifest), &p.Manifest); err != nil {
		return nil, false, fmt.Errorf("%w: %s: %w", ErrCorrupt, metaManifest, err)
	}
	if p.Format != Format {
		return nil, false, fmt.Errorf("%w: the file has format %d, this weir reads %d", ErrMismatch, p.Format, Format)
	}
	p.Version, p.Files = "", nil
	if digest(p.Weights) != file.Metadata[metaWeights] {
		return p, true, nil
	}
	if e, ok := file.Metadata[metaEvaluation]; ok {
		if !json.Valid([]byte(e)) {
			return nil, false, fmt.Errorf("%w: %s is no JSON", ErrCorrupt, metaEvaluation)
		}
		p.Evaluation = json.RawMessage(e)
	}
	return p, false, nil
}

// digest is the SHA-256, in hexadecimal, of names, shapes and values in the order of names.
func digest(weights map[string]safetensors.Tensor) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		t := weights[name]
		fmt.Fprintf(h, "%q %v\n", name, t.Shape)
		buf := make([]byte, 0, 4*len(t.Data))
		for _, v := range t.Data {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		h.Write(buf)
	}
	return hex.EncodeToString(h.Sum(nil))
}
