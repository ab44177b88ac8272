package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/weirnet/weir/nn/safetensors"
)

func example(name string, weight float32) *Package {
	return &Package{
		Manifest: Manifest{
			Kind: Apps, Name: name, Weir: "test", Profile: "default", Features: "openings/1",
			Labels: []string{"dns", "http"}, Settings: json.RawMessage(`{"a":1}`),
			Training: Training{Files: []DataFile{{Name: "a.pcap", SHA256: "00", Bytes: 7}}},
		},
		Weights:    map[string]safetensors.Tensor{"w": {Shape: []int{2}, Data: []float32{weight, 2}}},
		Evaluation: json.RawMessage(`{"accuracy":0.5}`),
	}
}

func mustSave(t *testing.T, r Registry, p *Package) string {
	t.Helper()
	if _, err := r.Save(p); err != nil {
		t.Fatal(err)
	}
	return p.Ref()
}

func TestSaveAndLoad(t *testing.T) {
	r := Registry{Dir: t.TempDir()}
	want := example("apps", 1)
	ref := mustSave(t, r, want)
	if _, err := r.Load("apps"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Load of a name without a promoted version: got %v, want ErrNotFound", err)
	}
	if err := r.Promote(ref); err != nil {
		t.Fatal(err)
	}
	got, err := r.Load("apps")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Weights, want.Weights) || got.Ref() != ref || !reflect.DeepEqual(got.Labels, want.Labels) {
		t.Errorf("loaded %+v %v, want %+v %v", got.Manifest, got.Weights, want.Manifest, want.Weights)
	}
	if string(got.Evaluation) != string(want.Evaluation) {
		t.Errorf("evaluation: got %s, want %s", got.Evaluation, want.Evaluation)
	}
	if err := got.Check(Apps, "openings/1"); err != nil {
		t.Errorf("Check of what fits: %v", err)
	}
}

func TestCheckRefusesMismatch(t *testing.T) {
	p := example("apps", 1)
	for _, c := range []struct {
		kind     Kind
		features string
		want     string
	}{
		{Anomaly, "openings/1", `a model for "apps"`},
		{Apps, "openings/2", `trained on features "openings/1", this weir makes "openings/2"`},
	} {
		err := p.Check(c.kind, c.features)
		if !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Check(%s, %s): got %v, want ErrMismatch with %q", c.kind, c.features, err, c.want)
		}
	}
}

func TestPromoteAndRollback(t *testing.T) {
	r := Registry{Dir: t.TempDir()}
	first, second := mustSave(t, r, example("apps", 1)), mustSave(t, r, example("apps", 9))
	if first == second {
		t.Fatalf("two versions are both %s", first)
	}
	for _, ref := range []string{first, second} {
		if err := r.Promote(ref); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := r.Load("apps"); err != nil || p.Ref() != second {
		t.Fatalf("live is %v (%v), want %s", p, err, second)
	}
	version, err := r.Rollback("apps")
	if err != nil || "apps@"+version != first {
		t.Errorf("Rollback: got %s, %v, want %s", version, err, first)
	}
	if _, err := r.Rollback("apps"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Rollback without an earlier version: got %v, want ErrNotFound", err)
	}
	if err := r.Promote("apps@nothing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Promote of a version that is not there: got %v, want ErrNotFound", err)
	}
	entries, err := r.List()
	if err != nil || len(entries) != 2 || !entries[0].Live || entries[1].Live {
		t.Errorf("List: got %+v, %v, want the first version live of two", entries, err)
	}
}

func TestLoadRefusesDamage(t *testing.T) {
	damage := map[string]struct {
		do   func(t *testing.T, dir string)
		want string
	}{
		"weights changed":    {func(t *testing.T, dir string) { flip(t, filepath.Join(dir, weightsFile)) }, "sha256"},
		"weights cut":        {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, weightsFile)) }, "sha256"},
		"weights gone":       {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, weightsFile)) }, "no such file"},
		"evaluation changed": {func(t *testing.T, dir string) { flip(t, filepath.Join(dir, evaluationFile)) }, "sha256"},
		"manifest cut":       {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, manifestFile)) }, "unexpected end"},
		"manifest gone":      {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, manifestFile)) }, "no such file"},
		"other format":       {edit(`"format": 1`, `"format": 2`), "format 2"},
		"no weights listed":  {edit(weightsFile, evaluationFile), "model: corrupt"},
		"file outside":       {edit(evaluationFile, "../../secret"), "unknown file"},
		"other labels":       {edit(`"http"`, `"smtp"`), "the manifest names"},
		"other version":      {edit(`"version": "`, `"version": "x`), "its directory is"},
		"other name":         {edit(`"name": "apps"`, `"name": "other"`), `says name "other", its directory is "apps"`},
		"other setting":      {edit(`"a": 1`, `"a": 2`), "are not those that the weights were saved with"},
		"other features":     {edit(`"openings/1"`, `"openings/2"`), "are not those that the weights were saved with"},
		"other kind":         {edit(`"kind": "apps"`, `"kind": "anomaly"`), "are not those that the weights were saved with"},
		"weights of no meaning": {func(t *testing.T, dir string) { resave(t, dir, map[string]string{}) },
			"are not those that the weights were saved with"},
	}
	for name, d := range damage {
		t.Run(name, func(t *testing.T) {
			r := Registry{Dir: t.TempDir()}
			p := example("apps", 1)
			ref := mustSave(t, r, p)
			d.do(t, filepath.Join(r.Dir, p.Name, p.Version))
			_, err := r.Load(ref)
			if err == nil || !strings.Contains(err.Error(), d.want) {
				t.Errorf("got %v, want an error with %q", err, d.want)
			}
			if err != nil && !strings.Contains(err.Error(), r.Dir) {
				t.Errorf("%v does not name the file", err)
			}
		})
	}
}

func TestKillWhileSaving(t *testing.T) {
	r := Registry{Dir: t.TempDir()}
	ref := mustSave(t, r, example("apps", 1))
	if err := r.Promote(ref); err != nil {
		t.Fatal(err)
	}
	// What a kill leaves: a directory that was never renamed, with half a file in it.
	tmp := filepath.Join(r.Dir, "apps", ".new-123")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, weightsFile), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p, err := r.Load("apps"); err != nil || p.Ref() != ref {
		t.Errorf("after the kill: got %v, %v, want %s", p, err, ref)
	}
	if entries, err := r.List(); err != nil || len(entries) != 1 {
		t.Errorf("List shows %+v, %v, want one version", entries, err)
	}
}

func TestNames(t *testing.T) {
	r := Registry{Dir: t.TempDir()}
	for _, name := range []string{"", "..", "a/b", ".hidden", "-flag", "a b", strings.Repeat("x", 65)} {
		if _, err := r.Save(example(name, 1)); err == nil {
			t.Errorf("Save took the name %q", name)
		}
		if _, err := r.Load(name); err == nil {
			t.Errorf("Load took the name %q", name)
		}
	}
}

func edit(old, new string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, manifestFile)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.ReplaceAll(string(data), old, new)
		if changed == string(data) {
			t.Fatalf("%s holds no %q", path, old)
		}
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// resave writes the weights again with other metadata, and their new sum into the manifest.
func resave(t *testing.T, dir string, metadata map[string]string) {
	t.Helper()
	path := filepath.Join(dir, weightsFile)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Parse(old)
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if err := safetensors.Write(&data, &safetensors.File{Metadata: metadata, Tensors: file.Tensors}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	was, is := sum(old), sum(data.Bytes())
	edit(was.SHA256, is.SHA256)(t, dir)
	edit(fmt.Sprintf(`"bytes": %d`, was.Bytes), fmt.Sprintf(`"bytes": %d`, is.Bytes))(t, dir)
}

func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
