package anomaly

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
)

// Metadata of a checkpoint.
const (
	metaRun   = "run"   // hash of windows and options
	metaStage = "stage" // whole stages done
	metaEpoch = "epoch" // whole epochs done of the next stage
)

// state is what the run needs to go on: the weights of the stages done, and weights and optimiser
// of the one that runs. The order of the windows follows from seed, stage and epoch.
func (t *trainer) state() *safetensors.File {
	f := &safetensors.File{
		Metadata: map[string]string{
			metaRun:   t.fingerprint,
			metaStage: strconv.Itoa(t.stage),
			metaEpoch: strconv.Itoa(t.epoch),
		},
		Tensors: map[string]safetensors.Tensor{},
	}
	for stage, net := range t.nets[:t.stage] {
		for _, p := range net.Params() {
			f.Tensors[stageTensor(stage, p.Name)] = safetensors.Tensor{Shape: p.Shape, Data: p.Value}
		}
	}
	nn.Export(t.nets[t.stage].Params(), f.Tensors)
	t.adam.Export(f.Tensors)
	return f
}

func stageTensor(stage int, name string) string { return fmt.Sprintf("stage%d.%s", stage, name) }

// resume goes on from a state.
func (t *trainer) resume(f *safetensors.File) error {
	if f.Metadata[metaRun] != t.fingerprint {
		return ErrOtherRun
	}
	stage, err1 := strconv.Atoi(f.Metadata[metaStage])
	epoch, err2 := strconv.Atoi(f.Metadata[metaEpoch])
	if err1 != nil || err2 != nil || stage < 0 || stage >= t.stages || epoch < 0 {
		return fmt.Errorf("anomaly: checkpoint at stage %q, epoch %q", f.Metadata[metaStage], f.Metadata[metaEpoch])
	}
	for s := range stage {
		net := newNetwork(t.o.Hidden)
		own := map[string]safetensors.Tensor{}
		for _, p := range net.Params() {
			if tensor, ok := f.Tensors[stageTensor(s, p.Name)]; ok {
				own[p.Name] = tensor
			}
		}
		if err := nn.Load(net.Params(), own); err != nil {
			return fmt.Errorf("anomaly: checkpoint, stage %d: %w", s, err)
		}
		t.nets = append(t.nets, net)
	}
	t.stage, t.epoch = stage, epoch
	t.begin()
	if err := nn.Load(t.nets[stage].Params(), f.Tensors); err != nil {
		return fmt.Errorf("anomaly: checkpoint: %w", err)
	}
	if err := t.adam.Import(f.Tensors); err != nil {
		return fmt.Errorf("anomaly: checkpoint: %w", err)
	}
	return nil
}

// sum is a hash of all that the weights depend on.
func (t *trainer) sum() string {
	h := sha256.New()
	o := t.o
	fmt.Fprintln(h, o.Profile, int64(o.Length), o.Hidden, o.Epochs, o.Batch, o.Rate, o.Seed, o.Threshold > 0)
	row := make([]byte, 0, 8*features+1)
	for i := range t.windows {
		row = row[:0]
		for _, x := range t.windows[i] {
			row = binary.LittleEndian.AppendUint64(row, math.Float64bits(x))
		}
		if t.first[i] {
			row = append(row, 1)
		}
		h.Write(row)
	}
	return hex.EncodeToString(h.Sum(nil))
}
