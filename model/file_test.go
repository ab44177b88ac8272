package model

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/weirnet/weir/nn/safetensors"
)

func TestOneFile(t *testing.T) {
	r := Registry{Dir: t.TempDir()}
	want, err := r.Load(mustSave(t, r, example("apps", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := want.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, changed, err := Read(b.Bytes())
	if err != nil || changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	want.Version, want.Files = "", nil
	want.Settings = got.Settings // compacted
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}

	// Other weights have no evaluation.
	file, err := safetensors.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func(change func()) []byte {
		change()
		var b bytes.Buffer
		if err := safetensors.Write(&b, file); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	got, changed, err = Read(rewrite(func() { file.Tensors["w"].Data[0]++ }))
	if err != nil || !changed || got.Evaluation != nil {
		t.Errorf("changed %v with evaluation %s, %v", changed, got.Evaluation, err)
	}
	_, _, err = Read(rewrite(func() {
		file.Metadata[metaManifest] = strings.Replace(file.Metadata[metaManifest], `"format":1`, `"format":7`, 1)
	}))
	if !errors.Is(err, ErrMismatch) {
		t.Errorf("another format: %v", err)
	}
	if _, _, err = Read(rewrite(func() { file.Metadata[metaManifest] = "{" })); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a damaged manifest: %v", err)
	}
	if _, _, err = Read(rewrite(func() { delete(file.Metadata, metaManifest) })); err == nil || !strings.Contains(err.Error(), "do not say what they mean") {
		t.Errorf("no manifest: %v", err)
	}
	if _, _, err = Read([]byte("hello")); err == nil {
		t.Error("a text was read")
	}
}
