package store

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/weirnet/weir/window"
)

// kind is a kind of segment, and the directory that its files lie in.
type kind string

const (
	flowKind   kind = "flows"
	windowKind kind = "windows"
)

var kinds = [...]kind{flowKind, windowKind}

// compression is one for all, because it keeps its encoders, which take megabytes.
var compression = &zstd.Codec{Level: zstd.SpeedFastest}

// writerOptions are those of all segments. Small pages make the search for a few rows quick: a page is
// the least that is decompressed.
func writerOptions(source string) []parquet.WriterOption {
	return []parquet.WriterOption{
		parquet.Compression(compression),
		parquet.PageBufferSize(32 << 10),
		parquet.CreatedBy("weir", "1", ""),
		parquet.KeyValueMetadata("weir.source", text(source)),
	}
}

// writeFlows writes a segment of flows.
func writeFlows(w io.Writer, rows []flowRow, source string) error {
	out := parquet.NewGenericWriter[flowRow](w, append(writerOptions(source), parquet.SkipPageBounds("community_id"))...)
	for len(rows) > 0 {
		n := min(len(rows), 1024)
		if _, err := out.Write(rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return out.Close()
}

// windowSchema is built from a struct type, which keeps the order of its columns. The features follow by
// their names; "packets" is one of them and there even where the others are not known.
var windowSchema = func() *parquet.Schema {
	columns := []struct {
		name string
		of   reflect.Type
		tag  string
	}{
		{"start", reflect.TypeFor[int64](), ",delta,timestamp(microsecond)"},
		{"length", reflect.TypeFor[float64](), ""},
		{"score", reflect.TypeFor[float64](), ",optional"},
		{"threshold", reflect.TypeFor[float64](), ""},
		{"anomalous", reflect.TypeFor[bool](), ""},
		{"lost", reflect.TypeFor[int64](), ""},
		{"unsure", reflect.TypeFor[bool](), ""},
		{"model", reflect.TypeFor[string](), ",dict"},
	}
	var fields []reflect.StructField
	field := func(name string, of reflect.Type, tag string) {
		fields = append(fields, reflect.StructField{
			Name: strings.ToUpper(name[:1]) + name[1:], Type: of, Tag: reflect.StructTag(fmt.Sprintf("parquet:%q", name+tag)),
		})
	}
	for _, c := range columns {
		field(c.name, c.of, c.tag)
	}
	for _, name := range window.Names {
		field(name, reflect.TypeFor[float64](), ",optional")
	}
	return parquet.NewSchema("windows", parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface()))
}()

// windowColumns is how many columns of a segment of windows come before the features.
const windowColumns = 8

// packetsFeature is the feature that is the number of packets of a window.
var packetsFeature = slices.Index(window.Names[:], "packets")

// writeWindows writes a segment of windows.
func writeWindows(w io.Writer, rows []windowRow, source string) error {
	out := parquet.NewGenericWriter[any](w, append(writerOptions(source), windowSchema)...)
	const some = 256
	buffer := make([]parquet.Row, 0, some)
	for i := range rows {
		buffer = append(buffer, rows[i].values())
		if len(buffer) == some || i == len(rows)-1 {
			if _, err := out.WriteRows(buffer); err != nil {
				return err
			}
			buffer = buffer[:0]
		}
	}
	return out.Close()
}

// values returns the row as the columns of windowSchema.
func (r *windowRow) values() parquet.Row {
	optional := func(x float64, known bool, column int) parquet.Value {
		if !known {
			return parquet.NullValue().Level(0, 0, column)
		}
		return parquet.DoubleValue(x).Level(0, 1, column)
	}
	row := parquet.Row{
		parquet.Int64Value(r.Start).Level(0, 0, 0), parquet.DoubleValue(r.Length).Level(0, 0, 1),
		optional(r.Score, !math.IsNaN(r.Score), 2), parquet.DoubleValue(r.Threshold).Level(0, 0, 3),
		parquet.BooleanValue(r.Anomalous).Level(0, 0, 4), parquet.Int64Value(r.Lost).Level(0, 0, 5),
		parquet.BooleanValue(r.Unsure).Level(0, 0, 6), parquet.ByteArrayValue([]byte(r.Model)).Level(0, 0, 7),
	}
	for i, x := range r.Vector {
		if i == packetsFeature {
			row = append(row, optional(float64(r.Packets), true, windowColumns+i))
		} else {
			row = append(row, optional(x, r.Known, windowColumns+i))
		}
	}
	return row
}

// setValues is the opposite of values.
func (r *windowRow) setValues(row parquet.Row) error {
	if len(row) != windowColumns+len(r.Vector) {
		return fmt.Errorf("a row of %d columns, want %d", len(row), windowColumns+len(r.Vector))
	}
	*r = windowRow{
		Start: row[0].Int64(), Length: row[1].Double(), Score: math.NaN(), Threshold: row[3].Double(),
		Anomalous: row[4].Boolean(), Lost: row[5].Int64(), Unsure: row[6].Boolean(), Model: row[7].String(),
	}
	if !row[2].IsNull() {
		r.Score = row[2].Double()
	}
	for i := range r.Vector {
		if v := row[windowColumns+i]; !v.IsNull() {
			r.Known = r.Known || i != packetsFeature
			r.Vector[i] = v.Double()
		}
	}
	r.Packets = int64(r.Vector[packetsFeature])
	return nil
}

// castagnoli is the polynomial of checksums: processors have an instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed is what the manifest knows of a file, so that damage to it is noticed.
type sealed struct {
	bytes int64
	crc   uint32 // CRC-32C
}

// create writes a file of the store: under a hidden name, synced, then renamed, so that under its own
// name it is whole or not there.
func create(path string, write func(io.Writer) error) (s sealed, err error) {
	dir, name := filepath.Split(path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return s, err
	}
	hidden := filepath.Join(dir, "."+name+".new")
	f, err := os.Create(hidden)
	if err != nil {
		return s, err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(hidden)
		}
	}()
	sum := crc32.New(castagnoli)
	buffered := bufio.NewWriterSize(io.MultiWriter(f, sum), 256<<10)
	if err := write(buffered); err != nil {
		return s, err
	}
	if err := buffered.Flush(); err != nil {
		return s, err
	}
	s.crc = sum.Sum32()
	if s.bytes, err = f.Seek(0, io.SeekCurrent); err != nil {
		return s, err
	}
	if err := f.Sync(); err != nil {
		return s, err
	}
	if err := f.Close(); err != nil {
		return s, err
	}
	if err := os.Rename(hidden, path); err != nil {
		return s, err
	}
	return s, syncDir(dir)
}

// open reads a file that was sealed. Parquet's own checksums leave out the lengths, and a reader that
// believes a damaged length allocates gigabytes; so nothing is read of a file that is not as it
// was written. A segment is some megabytes, and a gigabyte of them takes a third of a second to check.
func (s sealed) open(path string) (*parquet.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if info.Size() != s.bytes {
		return nil, fmt.Errorf("store: %s is damaged: it has %d bytes, not %d", path, info.Size(), s.bytes)
	}
	data := make([]byte, s.bytes)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("store: read %s: %w", path, err)
	}
	if crc32.Checksum(data, castagnoli) != s.crc {
		return nil, fmt.Errorf("store: %s is damaged: its checksum is wrong", path)
	}
	file, err := parquet.OpenFile(bytes.NewReader(data), s.bytes, parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	return file, nil
}

// syncDir makes the names in a directory last. Windows cannot, and keeps them itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}
