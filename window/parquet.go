package window

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// ParquetWriter writes windows as Parquet with the columns of the CSV: start as a timestamp in
// nanoseconds UTC, the features as doubles.
type ParquetWriter struct {
	w    *parquet.GenericWriter[any]
	rows []parquet.Row // full rows wait here: the library likes them by the hundred
}

const parquetBatch = 256

// NewParquetWriter returns a writer to w.
func NewParquetWriter(w io.Writer) *ParquetWriter {
	return &ParquetWriter{
		w:    parquet.NewGenericWriter[any](w, parquetSchema(), parquet.Compression(&parquet.Zstd)),
		rows: make([]parquet.Row, 0, parquetBatch),
	}
}

// parquetSchema is built from a struct type, which keeps the order of its columns; the library's
// own groups sort them by name.
func parquetSchema() *parquet.Schema {
	fields := []reflect.StructField{{
		Name: "Start",
		Type: reflect.TypeFor[int64](),
		Tag:  `parquet:"start,delta,timestamp(nanosecond)"`,
	}}
	for _, name := range Names {
		fields = append(fields, reflect.StructField{
			Name: strings.ToUpper(name[:1]) + name[1:],
			Type: reflect.TypeFor[float64](),
			Tag:  reflect.StructTag(fmt.Sprintf("parquet:%q", name)),
		})
	}
	return parquet.NewSchema("windows", parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface()))
}

// Write adds the row of a window.
func (p *ParquetWriter) Write(w *Window) error {
	n := len(p.rows)
	p.rows = p.rows[:n+1]
	row := append(p.rows[n][:0], parquet.Int64Value(w.Start).Level(0, 0, 0))
	for i, x := range w.Vector() {
		row = append(row, parquet.DoubleValue(x).Level(0, 0, 1+i))
	}
	p.rows[n] = row
	if len(p.rows) == parquetBatch {
		return p.flush()
	}
	return nil
}

func (p *ParquetWriter) flush() error {
	_, err := p.w.WriteRows(p.rows)
	p.rows = p.rows[:0]
	return err
}

// Close writes the rows held back and the file's footer. The underlying writer stays open.
func (p *ParquetWriter) Close() error {
	if err := p.flush(); err != nil {
		return err
	}
	return p.w.Close()
}
