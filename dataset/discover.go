package dataset

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weirnet/weir/capture"
)

// Names of the tables that a labelled set may have, without an ending of compression.
var (
	labelTables = []string{"labels.csv", "labels.tsv"}
	flowTables  = []string{"flows.csv", "flows.tsv", "conn.log", "conn.log.labeled"}
)

// Endings of the IDX files of a set, without an ending of compression.
const (
	imagesEnding = "images-idx3-ubyte"
	labelsEnding = "labels-idx1-ubyte"
)

// findings is what a directory holds, by the names of its files; each list is sorted.
type findings struct {
	dir      string
	captures []string
	labels   []string
	flows    []string
	images   []string
	faults   []capture.Fault
}

// discover looks through dir and all below it, hidden directories aside.
func discover(dir string) (*findings, error) {
	f := &findings{dir: dir}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("dataset: %s is not a directory", dir)
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") && path != dir {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		name := uncompressed(entry.Name())
		switch {
		case entry.IsDir():
		case slices.Contains(labelTables, name):
			f.labels = append(f.labels, path)
		case slices.Contains(flowTables, name):
			f.flows = append(f.flows, path)
		case strings.HasSuffix(name, imagesEnding):
			f.images = append(f.images, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	r, err := capture.Open([]string{dir})
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	defer r.Close()
	f.captures = r.Files()
	slices.Sort(f.captures)
	if len(f.captures) > 0 {
		f.faults = r.Faults()
	}
	return f, nil
}

// job is a capture to be read, with all that labels it.
type job struct {
	path    string
	label   string            // from labels.csv
	facts   map[string]string // from labels.csv
	start   int64             // from labels.csv, ns; 0 without
	listed  string            // where labels.csv names it, for messages
	folder  string            // label of its directory, when directories are labels
	joiners []*tableJoin
}

// tableJoin is a table of flows as one capture sees it: the rows of that capture, or all rows of
// a table that names no captures.
type tableJoin struct {
	table int // index into Set.Tables
	*joiner
	labels []string
}

// plan reads the tables and says how each capture gets its labels. Captures are in order of name.
func (f *findings) plan(set *Set, opts Options) ([]*job, error) {
	jobs := make(map[string]*job)
	for _, path := range f.captures {
		jobs[path] = &job{path: path}
	}
	for _, fault := range f.faults {
		if jobs[fault.File] == nil { // those of captures come again when they are read
			set.Problems = append(set.Problems, Problem{UnreadableCapture, below(f.dir, fault.File), fault.Err.Error()})
		}
	}
	find := newResolver(f.captures)
	at := func(path string) *job {
		if jobs[path] == nil {
			jobs[path] = &job{path: path}
		}
		return jobs[path]
	}
	for _, path := range f.labels {
		if err := readLabels(path, set, opts, find, at); err != nil {
			return nil, err
		}
	}
	anyCapture, err := f.readFlowTables(set, opts, find, at)
	if err != nil {
		return nil, err
	}
	folders := len(f.labels) == 0 && len(f.flows) == 0 && len(f.images) == 0
	var plan []*job
	for path, j := range jobs {
		j.joiners = append(j.joiners, anyCapture...)
		if first, _, deeper := strings.Cut(below(f.dir, path), "/"); folders && deeper {
			j.folder = clean(first)
		}
		plan = append(plan, j)
	}
	slices.SortFunc(plan, func(a, b *job) int { return strings.Compare(below(f.dir, a.path), below(f.dir, b.path)) })
	return plan, nil
}

// readLabels reads a labels.csv.
func readLabels(path string, set *Set, opts Options, find *resolver, at func(string) *job) error {
	f, err := openData(path)
	if err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	defer f.Close()
	return parseLabels(path, f, set, opts, find, at)
}

// parseLabels reads the text of a labels.csv into the jobs of the captures that it names.
func parseLabels(path string, r io.Reader, set *Set, opts Options, find *resolver, at func(string) *job) error {
	t, err := newTable(path, r)
	if err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	fileAt, labelAt, startAt := t.column("file", "capture", "pcap", "filename"), t.column("label"), t.column("start_utc")
	if opts.LabelColumn != "" {
		labelAt = t.column(opts.LabelColumn)
	}
	if fileAt < 0 || labelAt < 0 {
		return fmt.Errorf("dataset: %s: needs the columns file and %s; it has %s", path, labelName(opts), strings.Join(t.columns, ", "))
	}
	for {
		fields, line, err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("dataset: %w", err)
		}
		where := fmt.Sprintf("%s line %d", path, line)
		name, label := t.field(fields, fileAt), t.field(fields, labelAt)
		if name == "" || label == "" {
			set.Problems = append(set.Problems, Problem{BadRow, where, fmt.Sprintf("no %s", map[bool]string{true: "file", false: "label"}[name == ""])})
			continue
		}
		found, err := find.path(filepath.Dir(path), name)
		if err != nil {
			set.Problems = append(set.Problems, Problem{MissingCapture, where, err.Error()})
			continue
		}
		j := at(found)
		if j.listed != "" {
			if j.label != label {
				return fmt.Errorf("dataset: %s: %s is %q here and %q at %s", where, name, label, j.label, j.listed)
			}
			set.Problems = append(set.Problems, Problem{ListedTwice, where, fmt.Sprintf("%s is at %s too", name, j.listed)})
			continue
		}
		j.label, j.listed, j.facts = label, where, make(map[string]string, len(t.columns))
		for i, column := range t.columns {
			if i != fileAt {
				j.facts[column] = t.field(fields, i)
			}
		}
		if text := t.field(fields, startAt); text != "" {
			if j.start, _, err = parseTime(text, opts.Zone); err != nil {
				return fmt.Errorf("dataset: %s: start_utc: %w", where, err)
			}
		}
	}
}

func labelName(opts Options) string {
	if opts.LabelColumn != "" {
		return opts.LabelColumn
	}
	return "label"
}

// readFlowTables reads the tables of flows and gives each capture the rows that name it. Rows
// of tables that name no captures are returned: they belong to any.
func (f *findings) readFlowTables(set *Set, opts Options, find *resolver, at func(string) *job) ([]*tableJoin, error) {
	var anyCapture []*tableJoin
	for _, path := range f.flows {
		r, err := openData(path)
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		ft, err := parseFlowTable(path, r, flowTableOptions{labelColumn: opts.LabelColumn, confidence: opts.Confidence, zone: opts.Zone})
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		for _, bad := range ft.bad {
			set.Problems = append(set.Problems, Problem{BadRow, fmt.Sprintf("%s line %d", path, bad.Line), bad.Err.Error()})
		}
		stats := TableStats{Name: below(f.dir, path), Rows: len(ft.rows), Filtered: ft.filtered, Unlabelled: ft.unlabeled, Bad: ft.badCount}
		table := len(set.Tables)
		byCapture := make([][]flowRow, len(ft.captures))
		var free []flowRow
		for _, row := range ft.rows {
			if row.capture < 0 {
				free = append(free, row)
			} else {
				byCapture[row.capture] = append(byCapture[row.capture], row)
			}
		}
		if free != nil {
			anyCapture = append(anyCapture, &tableJoin{table, newJoiner(free), ft.labels})
		}
		for i, rows := range byCapture {
			found, err := find.path(filepath.Dir(path), ft.captures[i])
			if err != nil {
				set.Problems = append(set.Problems, Problem{MissingCapture, path, err.Error()})
				stats.NoCapture += len(rows)
				continue
			}
			j := at(found)
			j.joiners = append(j.joiners, &tableJoin{table, newJoiner(rows), ft.labels}) // of no rows, when all are filtered
		}
		set.Tables = append(set.Tables, stats)
	}
	return anyCapture, nil
}

// resolver finds the captures that tables name.
type resolver struct {
	captures []string
	byBase   map[string][]string
}

func newResolver(captures []string) *resolver {
	r := &resolver{captures, make(map[string][]string)}
	for _, path := range captures {
		r.byBase[filepath.Base(path)] = append(r.byBase[filepath.Base(path)], path)
	}
	return r
}

var (
	errNotThere = errors.New("no such capture")
	errSeveral  = errors.New("several captures of that name")
)

// path returns the capture that a table in dir means by name: relative to dir, to dir's parent,
// or the only capture below the set whose path ends in name, or whose base name is name's.
func (r *resolver) path(dir, name string) (string, error) {
	local := filepath.Clean(filepath.FromSlash(strings.ReplaceAll(name, `\`, "/")))
	parent := filepath.Dir(dir)
	if abs, err := filepath.Abs(dir); err == nil {
		parent = filepath.Dir(abs)
	}
	for _, path := range []string{filepath.Join(dir, local), filepath.Join(parent, local)} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return r.known(path), nil
		}
	}
	named := r.byBase[filepath.Base(local)]
	ending := slices.DeleteFunc(slices.Clone(named), func(path string) bool {
		return !strings.HasSuffix(path, string(filepath.Separator)+local)
	})
	switch {
	case len(ending) == 1:
		return ending[0], nil
	case len(named) == 1:
		return named[0], nil
	case len(named) > 1:
		return "", fmt.Errorf("%s: %w", name, errSeveral)
	}
	return "", fmt.Errorf("%s: %w", name, errNotThere)
}

// known returns a capture's path as discover has it, so that one file has one path.
func (r *resolver) known(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return path
	}
	for _, other := range r.byBase[filepath.Base(path)] {
		if otherInfo, err := os.Stat(other); err == nil && os.SameFile(info, otherInfo) {
			return other
		}
	}
	return path
}
