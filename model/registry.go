package model

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weirnet/weir/nn/safetensors"
)

// Registry is a directory of models: DIR/NAME/VERSION/, and beside the versions the file
// "live", whose last line names the promoted version and whose earlier lines are its history.
// Every change is one rename: a kill at any moment leaves the old state or the new one.
type Registry struct {
	Dir string
}

// maxFile bounds what is read of a file of a package before it is checked.
const maxFile = 1 << 30

const liveFile = "live"

// metaLabels is the entry of the weights' metadata that holds the labels once more, as JSON: classes
// have no names in a network, so nothing else would notice that a manifest names them otherwise.
const metaLabels = "labels"

// metaMeaning is the entry of the weights' metadata that holds Manifest.meaning: the sums in a
// manifest cannot vouch for the manifest itself, in which a threshold may have been changed.
const metaMeaning = "meaning"

// meaning returns the SHA-256, in hexadecimal, of the parts of a manifest that say what the weights
// mean: kind, features, labels and settings.
func (m *Manifest) meaning() (string, error) {
	// Marshal compacts settings, which are indented in model.json.
	text, err := json.Marshal(struct {
		Kind     Kind            `json:"kind"`
		Features string          `json:"features"`
		Labels   []string        `json:"labels"`
		Settings json.RawMessage `json:"settings"`
	}{m.Kind, m.Features, m.Labels, m.Settings})
	if err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	return sum(text).SHA256, nil
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName refuses names that are not plain file names.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("model: name %q: use letters, digits, '.', '_' and '-', at most 64", name)
	}
	return nil
}

// Save writes p as a new version of p.Name, fills in its version, time and sums, and returns
// the version. It does not promote it.
func (r Registry) Save(p *Package) (string, error) {
	if err := CheckName(p.Name); err != nil {
		return "", err
	}
	base := filepath.Join(r.Dir, p.Name)
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	labels, err := json.Marshal(p.Labels)
	if err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	var weights bytes.Buffer
	meaning, err := p.meaning()
	if err != nil {
		return "", err
	}
	metadata := map[string]string{"model": p.Name, metaLabels: string(labels), metaMeaning: meaning}
	if err := safetensors.Write(&weights, &safetensors.File{Metadata: metadata, Tensors: p.Weights}); err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	tmp, err := os.MkdirTemp(base, ".new-")
	if err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	defer os.RemoveAll(tmp)

	p.Format = Format
	if p.Created.IsZero() {
		p.Created = time.Now().UTC().Truncate(time.Second)
	}
	p.Files = map[string]Sum{}
	files := map[string][]byte{weightsFile: weights.Bytes()}
	if p.Evaluation != nil {
		files[evaluationFile] = p.Evaluation
	}
	for name, data := range files {
		p.Files[name] = sum(data)
		if err := writeSynced(filepath.Join(tmp, name), data); err != nil {
			return "", err
		}
	}
	// A version is the day and a number; another process may take the same number first.
	for n := 1; n < 10_000; n++ {
		p.Version = fmt.Sprintf("%s-%d", p.Created.Format("20060102"), n)
		dir := filepath.Join(base, p.Version)
		if _, err := os.Lstat(dir); err == nil {
			continue
		}
		manifest, err := json.MarshalIndent(p.Manifest, "", "  ")
		if err != nil {
			return "", fmt.Errorf("model: %w", err)
		}
		if err := writeSynced(filepath.Join(tmp, manifestFile), append(manifest, '\n')); err != nil {
			return "", err
		}
		if err := syncDir(tmp); err != nil {
			return "", err
		}
		err = os.Rename(tmp, dir)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("model: %w", err)
		}
		return p.Version, errors.Join(os.Chmod(dir, 0o755), syncDir(base))
	}
	return "", fmt.Errorf("model: %s: no free version left for %s", p.Name, p.Created.Format(time.DateOnly))
}

// Load reads and checks a package: NAME is its promoted version, NAME@VERSION a certain one.
func (r Registry) Load(ref string) (*Package, error) {
	name, version, pinned := strings.Cut(ref, "@")
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if !pinned {
		var err error
		if version, err = r.Live(name); err != nil {
			return nil, err
		}
	} else if err := CheckName(version); err != nil {
		return nil, err
	}
	dir := filepath.Join(r.Dir, name, version)
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("%w: %s@%s in %s", ErrNotFound, name, version, r.Dir)
	}
	return load(dir)
}

// Live returns the promoted version of a model.
func (r Registry) Live(name string) (version string, err error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	live, err := r.history(name)
	if err != nil {
		return "", err
	}
	if len(live) == 0 {
		return "", fmt.Errorf("%w: %s has no promoted version in %s", ErrNotFound, name, r.Dir)
	}
	return live[len(live)-1], nil
}

func load(dir string) (*Package, error) {
	p, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	for name, want := range p.Files {
		if name != weightsFile && name != evaluationFile {
			return nil, fmt.Errorf("%w: %s names an unknown file %q", ErrCorrupt, filepath.Join(dir, manifestFile), name)
		}
		path := filepath.Join(dir, name)
		data, err := readBounded(path)
		if err != nil {
			return nil, err
		}
		if got := sum(data); got != want {
			return nil, fmt.Errorf("%w: %s: %d bytes with sha256 %.12s…, the manifest says %d bytes with %.12s…",
				ErrCorrupt, path, got.Bytes, got.SHA256, want.Bytes, want.SHA256)
		}
		if name == evaluationFile {
			p.Evaluation = data
			continue
		}
		file, err := safetensors.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
		}
		p.Weights = file.Tensors
		labels, err := json.Marshal(p.Labels)
		if err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
		if own, ok := file.Metadata[metaLabels]; ok && own != string(labels) {
			return nil, fmt.Errorf("%w: %s is of labels %s, the manifest names %s", ErrMismatch, path, own, labels)
		}
		meaning, err := p.meaning()
		if err != nil {
			return nil, err
		}
		if file.Metadata[metaMeaning] != meaning {
			return nil, fmt.Errorf("%w: %s: settings, labels or features (%q) in %s are not those that the weights were saved with",
				ErrMismatch, p.Ref(), p.Features, filepath.Join(dir, manifestFile))
		}
	}
	if p.Weights == nil {
		return nil, fmt.Errorf("%w: %s lists no %s", ErrCorrupt, filepath.Join(dir, manifestFile), weightsFile)
	}
	return p, nil
}

func readManifest(dir string) (*Package, error) {
	path := filepath.Join(dir, manifestFile)
	data, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	p := new(Package)
	if err := json.Unmarshal(data, &p.Manifest); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	switch {
	case p.Format != Format:
		return nil, fmt.Errorf("%w: %s has format %d, this weir reads %d", ErrMismatch, path, p.Format, Format)
	case p.Name != filepath.Base(filepath.Dir(dir)):
		return nil, fmt.Errorf("%w: %s says name %q, its directory is %q", ErrCorrupt, path, p.Name, filepath.Base(filepath.Dir(dir)))
	case p.Version != filepath.Base(dir):
		return nil, fmt.Errorf("%w: %s says version %q, its directory is %q", ErrCorrupt, path, p.Version, filepath.Base(dir))
	}
	return p, nil
}

// Entry is one version in a listing.
type Entry struct {
	Manifest
	Live  bool
	Fault error // the manifest could not be read; only Name and Version are set then
}

// List returns every version of every model, by name, then by age.
func (r Registry) List() ([]Entry, error) {
	names, err := os.ReadDir(r.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	var all []Entry
	for _, n := range names {
		if !n.IsDir() || CheckName(n.Name()) != nil {
			continue
		}
		live, err := r.history(n.Name())
		if err != nil {
			return nil, err
		}
		versions, err := os.ReadDir(filepath.Join(r.Dir, n.Name()))
		if err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
		for _, v := range versions {
			if !v.IsDir() || CheckName(v.Name()) != nil {
				continue
			}
			e := Entry{Live: len(live) > 0 && live[len(live)-1] == v.Name()}
			if p, err := readManifest(filepath.Join(r.Dir, n.Name(), v.Name())); err != nil {
				e.Fault = err
				e.Name, e.Version = n.Name(), v.Name()
			} else {
				e.Manifest = p.Manifest
			}
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), a.Created.Compare(b.Created), len(a.Version)-len(b.Version), strings.Compare(a.Version, b.Version))
	})
	return all, nil
}

// Promote makes NAME@VERSION the live version of NAME, after checking that it loads.
func (r Registry) Promote(ref string) error {
	name, version, ok := strings.Cut(ref, "@")
	if !ok {
		return fmt.Errorf("model: promote needs NAME@VERSION, got %q", ref)
	}
	if _, err := r.Load(ref); err != nil {
		return err
	}
	live, err := r.history(name)
	if err != nil {
		return err
	}
	if len(live) > 0 && live[len(live)-1] == version {
		return nil
	}
	return r.writeHistory(name, append(live, version))
}

// Rollback makes the version that was live before the current one live again and returns it.
func (r Registry) Rollback(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	live, err := r.history(name)
	if err != nil {
		return "", err
	}
	if len(live) < 2 {
		return "", fmt.Errorf("%w: %s has no earlier live version", ErrNotFound, name)
	}
	live = live[:len(live)-1]
	version := live[len(live)-1]
	if _, err := r.Load(name + "@" + version); err != nil {
		return "", err
	}
	return version, r.writeHistory(name, live)
}

// history returns the promoted versions of a model, the live one last.
func (r Registry) history(name string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(r.Dir, name, liveFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	versions := strings.Fields(string(data))
	for _, v := range versions {
		if err := CheckName(v); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, filepath.Join(r.Dir, name, liveFile), err)
		}
	}
	return versions, nil
}

func (r Registry) writeHistory(name string, versions []string) error {
	base := filepath.Join(r.Dir, name)
	tmp, err := os.MkdirTemp(base, ".new-")
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	defer os.RemoveAll(tmp)
	path := filepath.Join(tmp, liveFile)
	if err := writeSynced(path, []byte(strings.Join(versions, "\n")+"\n")); err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(base, liveFile)); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return syncDir(base)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("model: write %s: %w", path, err)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrCorrupt, path, maxFile)
	}
	return data, nil
}

func sum(data []byte) Sum {
	h := sha256.Sum256(data)
	return Sum{SHA256: hex.EncodeToString(h[:]), Bytes: int64(len(data))}
}
