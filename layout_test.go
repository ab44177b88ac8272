package weir

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/weirnet/weir"

// order lists every package from the bottom up: a package imports only packages above it in
// this list. What stands on one line may not import each other.
var order = [][]string{
	{"bench/attack", "config", "drift", "internal/kernel", "internal/kernel/peak", "internal/lock", "nn/graph", "nn/safetensors", "packet", "report", "systemd"},
	{"nn", "nn/infer", "nn/onnx", "capture", "capture/filter", "model"},
	{"flow", "window"},
	{"meter", "event", "evidence", "sink"},
	{"classify", "anomaly"},
	{"dataset", "evaluate", "learn", "store"},
	{"train", "sensor", "store/storetest", "web"},
	{"cmd/weir", "lab", "bench/corpus", "bench/neural", "bench/path", "bench/training"},
}

// forbidden holds what the order alone would allow.
var forbidden = map[string][]string{
	"nn":       {"packet", "capture", "flow", "window"}, // the networks know no packets
	"nn/infer": {"packet", "capture"},
	"model":    {"packet", "capture", "nn"}, // a package on disk knows no networks
	"classify": {"event", "model"},          // models know no events and no directories
	"anomaly":  {"event", "model"},
	"flow":     {"nn", "model"},
	"window":   {"nn", "model"},
	"meter":    {"nn", "model"},
	"event":    {"nn", "model", "meter"},
	"evidence": {"nn", "model", "flow"}, // packets and the windows that they count in, no more
	"lab":      {"cmd/weir", "sensor", "train"},
	"store":    {"packet", "capture", "flow", "meter", "nn", "model", "classify"}, // history knows events, no packets

	"web": {"packet", "capture", "flow", "meter", "nn", "classify", "anomaly", "dataset", "evaluate"}, // asks history and the registry

	"bench/corpus": {"capture", "packet"}, // what makes captures to measure with shares nothing with what is measured
}

// flagReaders may import a flag library; nothing else reads flags.
var flagReaders = []string{"cmd/weir", "lab", "bench/corpus", "bench/neural", "bench/path", "bench/training"}

func TestImportsGoDown(t *testing.T) {
	level := map[string]int{}
	for i, row := range order {
		for _, pkg := range row {
			level[pkg] = i
		}
	}
	seen := map[string]bool{}
	for dir, imports := range importsByPackage(t) {
		at, known := level[dir]
		if !known {
			if dir != "." && !strings.HasPrefix(dir, "internal/kernel/") {
				t.Errorf("package %s is not in the order of layout_test.go", dir)
			}
			continue
		}
		seen[dir] = true
		for imp, file := range imports {
			if strings.Contains(imp, "flag") && !slices.Contains(flagReaders, dir) || strings.HasSuffix(imp, "/cobra") && dir != "cmd/weir" {
				t.Errorf("%s: %s must not read flags (imports %s)", file, dir, imp)
			}
			target, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				continue
			}
			if to, ok := level[target]; !ok || to >= at {
				t.Errorf("%s: %s imports %s, which is not below it", file, dir, target)
			}
			if slices.Contains(forbidden[dir], target) {
				t.Errorf("%s: %s must not import %s", file, dir, target)
			}
		}
	}
	for pkg := range level {
		if !seen[pkg] {
			t.Errorf("layout_test.go lists %s, which holds no Go files", pkg)
		}
	}
}

// importsByPackage maps each directory to its imports outside of tests, each with a file that
// has it.
func importsByPackage(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || file != "." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(file))
		if all[dir] == nil {
			all[dir] = map[string]string{}
		}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			all[dir][imp] = file
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
