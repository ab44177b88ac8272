package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

// The library's reader of rows takes 1.7 µs a row, so that a search of a million flows would take
// two seconds. Here a search looks at the columns that it is about, for strings at each of the
// dictionary's once, and only the rows that match are put together, from the pages that hold them.

// column reads one column of a row group by row, forward.
type column struct {
	pages  parquet.Pages
	page   parquet.Page // at hand; what is below refers to it
	first  int64        // row of the first value of the page at hand
	rows   int64
	levels []byte  // of optional columns: 1 where there is a value
	dense  []int32 // of optional columns: place among the values by row
	dict   parquet.Dictionary
	names  []string // the dictionary's strings as far as they were asked for
	values encoding.Values
	ints   []int64
	int32s []int32 // values, or places in the dictionary
	floats []float64
	bools  []bool
	data   []byte
	starts []uint32
}

func (c *column) close() {
	parquet.Release(c.page)
	c.pages.Close()
}

// next reads the page that begins at a row, or the next one when row is negative; it returns io.EOF
// after the last.
func (c *column) next(row int64) error {
	if row >= 0 {
		if err := c.pages.SeekToRow(row); err != nil {
			return err
		}
		c.first, c.rows = row, 0
	}
	page, err := c.pages.ReadPage()
	if err != nil {
		return err
	}
	parquet.Release(c.page)
	c.page = page
	c.first += c.rows
	c.rows = page.NumRows()
	c.levels = page.DefinitionLevels()
	if len(c.levels) > 0 {
		c.dense = slices.Grow(c.dense[:0], len(c.levels))
		n := int32(0)
		for _, level := range c.levels {
			c.dense = append(c.dense, n)
			n += int32(level)
		}
	}
	if dict := page.Dictionary(); dict != c.dict {
		c.dict, c.names = dict, nil
		if dict != nil {
			c.names = make([]string, dict.Len())
		}
	}
	c.values = page.Data()
	c.ints, c.int32s, c.floats, c.data, c.starts = nil, nil, nil, nil, nil
	switch c.values.Kind() {
	case encoding.Int64:
		c.ints = c.values.Int64()
	case encoding.Int32:
		c.int32s = c.values.Int32()
	case encoding.Double:
		c.floats = c.values.Double()
	case encoding.Boolean:
		// The bits of a page that was sought to begin anywhere in a byte, and Data does not tell where.
		reader, ok := page.Values().(parquet.BooleanReader)
		if !ok {
			return errors.New("a column of booleans without any")
		}
		c.bools = slices.Grow(c.bools[:0], int(c.rows))[:c.rows]
		if n, err := reader.ReadBooleans(c.bools); int64(n) != c.rows {
			return fmt.Errorf("%d of %d values: %w", n, c.rows, cmp.Or(err, io.ErrUnexpectedEOF))
		}
	case encoding.ByteArray:
		c.data, c.starts = c.values.ByteArray()
	}
	return nil
}

// at goes to a row at or after the last one and returns the place of its value, -1 for null.
func (c *column) at(row int64) (int, error) {
	for row >= c.first+c.rows {
		seek := row
		if c.rows > 0 && row < c.first+2*c.rows {
			seek = -1 // likely the next page: read on
		}
		if err := c.next(seek); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	return c.place(int(row - c.first)), nil
}

// place returns where the value of the i-th row of the page at hand lies, -1 for null.
func (c *column) place(i int) int {
	if len(c.levels) == 0 {
		return i
	}
	if c.levels[i] == 0 {
		return -1
	}
	return int(c.dense[i])
}

func (c *column) int(i int) int64 {
	switch {
	case i < 0:
		return 0
	case c.dict != nil && c.ints == nil:
		if v := c.dict.Index(c.int32s[i]); v.Kind() == parquet.Int32 {
			return int64(v.Int32())
		} else {
			return v.Int64()
		}
	case c.ints != nil:
		return c.ints[i]
	}
	return int64(c.int32s[i])
}

func (c *column) float(i int) float64 {
	if i < 0 {
		return 0
	}
	return c.floats[i]
}

func (c *column) bool(i int) bool { return i >= 0 && c.bools[i] }

func (c *column) string(i int) string {
	switch {
	case i < 0:
		return ""
	case c.dict != nil:
		n := c.int32s[i]
		if c.names[n] == "" {
			c.names[n] = string(c.dict.Index(n).ByteArray())
		}
		return c.names[n]
	}
	return string(c.data[c.starts[i]:c.starts[i+1]])
}

// flowColumns are the columns of a segment of flows, by their place in flowRow.
type flowColumns struct {
	group parquet.RowGroup
	cols  []*column // opened when they are needed
}

func openColumns(f *parquet.File) (*flowColumns, error) {
	groups := f.RowGroups()
	if len(groups) != 1 {
		return nil, fmt.Errorf("%d row groups, want 1", len(groups))
	}
	leaves := f.Root().Columns()
	if len(leaves) != len(flowFields) {
		return nil, fmt.Errorf("%d columns, want %d", len(leaves), len(flowFields))
	}
	for i, leaf := range leaves {
		if leaf.Name() != flowFields[i].name {
			return nil, fmt.Errorf("column %d is %q, want %q", i, leaf.Name(), flowFields[i].name)
		}
	}
	return &flowColumns{group: groups[0], cols: make([]*column, len(leaves))}, nil
}

func (f *flowColumns) column(i int) *column {
	if f.cols[i] == nil {
		f.cols[i] = &column{pages: f.group.ColumnChunks()[i].Pages()}
	}
	return f.cols[i]
}

// rewind lets the columns be read from the start again.
func (f *flowColumns) rewind() {
	for i, c := range f.cols {
		if c != nil {
			c.close()
			f.cols[i] = nil
		}
	}
}

// flowFields are the columns of flows: how each gets into a row.
var flowFields = []struct {
	name string
	set  func(r *flowRow, c *column, i int)
}{
	{"start", func(r *flowRow, c *column, i int) { r.Start = c.int(i) }},
	{"end", func(r *flowRow, c *column, i int) { r.End = c.int(i) }},
	{"flow_id", func(r *flowRow, c *column, i int) { r.FlowID = c.int(i) }},
	{"community_id", func(r *flowRow, c *column, i int) { r.CommunityID = c.string(i) }},
	{"src_ip", func(r *flowRow, c *column, i int) { r.SrcIP = c.string(i) }},
	{"src_port", func(r *flowRow, c *column, i int) { r.SrcPort = int32(c.int(i)) }},
	{"dest_ip", func(r *flowRow, c *column, i int) { r.DestIP = c.string(i) }},
	{"dest_port", func(r *flowRow, c *column, i int) { r.DestPort = int32(c.int(i)) }},
	{"proto", func(r *flowRow, c *column, i int) { r.Proto = c.string(i) }},
	{"pkts_toserver", func(r *flowRow, c *column, i int) { r.PacketsToServer = c.int(i) }},
	{"pkts_toclient", func(r *flowRow, c *column, i int) { r.PacketsToClient = c.int(i) }},
	{"bytes_toserver", func(r *flowRow, c *column, i int) { r.BytesToServer = c.int(i) }},
	{"bytes_toclient", func(r *flowRow, c *column, i int) { r.BytesToClient = c.int(i) }},
	{"ip_bytes_toserver", func(r *flowRow, c *column, i int) { r.IPToServer = c.int(i) }},
	{"ip_bytes_toclient", func(r *flowRow, c *column, i int) { r.IPToClient = c.int(i) }},
	{"payload_bytes_toserver", func(r *flowRow, c *column, i int) { r.PayloadToServer = c.int(i) }},
	{"payload_bytes_toclient", func(r *flowRow, c *column, i int) { r.PayloadToClient = c.int(i) }},
	{"reason", func(r *flowRow, c *column, i int) { r.Reason = c.string(i) }},
	{"app", func(r *flowRow, c *column, i int) { r.App = c.string(i) }},
	{"confidence", func(r *flowRow, c *column, i int) { r.Confidence = c.float(i) }},
	{"novel", func(r *flowRow, c *column, i int) { r.Novel = c.bool(i) }},
	{"label_source", func(r *flowRow, c *column, i int) { r.LabelSource = c.string(i) }},
	{"label_packets", func(r *flowRow, c *column, i int) { r.LabelPackets = int32(c.int(i)) }},
	{"model", func(r *flowRow, c *column, i int) { r.Model = c.string(i) }},
}

// Columns that searches look at, places in flowFields.
var (
	endColumn      = fieldPlace("end")
	srcIPColumn    = fieldPlace("src_ip")
	srcPortColumn  = fieldPlace("src_port")
	destIPColumn   = fieldPlace("dest_ip")
	destPortColumn = fieldPlace("dest_port")
	appColumn      = fieldPlace("app")
	novelColumn    = fieldPlace("novel")
)

func fieldPlace(name string) int {
	for i, f := range flowFields {
		if f.name == name {
			return i
		}
	}
	panic("store: no column " + name)
}

// matches returns the rows of a segment that a query asks for, in order.
func (f *flowColumns) matches(q *flowMatch) ([]int32, error) {
	n := f.group.NumRows()
	if n < 0 || n > 1<<31-1 {
		return nil, fmt.Errorf("%d rows", n)
	}
	keep := make([]bool, n)
	for i := range keep {
		keep[i] = true
	}
	narrow := func(i int, match func(c *column, i int) bool) error {
		return f.scan(i, func(row int64, c *column, i int) { keep[row] = keep[row] && match(c, i) })
	}
	if !q.always {
		err := narrow(endColumn, func(c *column, i int) bool {
			t := c.int(i)
			return t >= q.since && t < q.until
		})
		if err != nil {
			return nil, err
		}
	}
	if q.App != "" {
		if err := narrow(appColumn, byName(func(s string) bool { return s == q.App })); err != nil {
			return nil, err
		}
	}
	if q.Novel {
		if err := narrow(novelColumn, (*column).bool); err != nil {
			return nil, err
		}
	}
	either := func(a, b int, match func(c *column, i int) bool) error {
		first := make([]bool, n)
		err := f.scan(a, func(row int64, c *column, i int) { first[row] = match(c, i) })
		if err != nil {
			return err
		}
		return f.scan(b, func(row int64, c *column, i int) { keep[row] = keep[row] && (first[row] || match(c, i)) })
	}
	if q.Port != 0 {
		port := int64(q.Port)
		if err := either(srcPortColumn, destPortColumn, func(c *column, i int) bool { return c.int(i) == port }); err != nil {
			return nil, err
		}
	}
	if q.Host.IsValid() {
		if err := either(srcIPColumn, destIPColumn, byName(q.host)); err != nil {
			return nil, err
		}
	}
	var rows []int32
	for i, k := range keep {
		if k {
			rows = append(rows, int32(i))
		}
	}
	f.rewind()
	return rows, nil
}

// scan gives every value of a column, in the order of rows.
func (f *flowColumns) scan(i int, see func(row int64, c *column, i int)) error {
	c := &column{pages: f.group.ColumnChunks()[i].Pages()}
	defer c.close()
	for {
		err := c.next(-1)
		if err == io.EOF {
			if rows := f.group.NumRows(); c.first+c.rows != rows {
				return fmt.Errorf("column %s has %d rows, want %d", flowFields[i].name, c.first+c.rows, rows)
			}
			return nil
		}
		if err != nil {
			return err
		}
		for k := range int(c.rows) {
			see(c.first+int64(k), c, c.place(k))
		}
	}
}

// byName makes of a question about strings one about values, that asks once for each string of a
// dictionary.
func byName(is func(string) bool) func(c *column, i int) bool {
	var dict parquet.Dictionary
	var known []int8 // by place in the dictionary: 0 not asked yet, 1 yes, -1 no
	return func(c *column, i int) bool {
		if i < 0 || c.dict == nil {
			return is(c.string(i))
		}
		if c.dict != dict {
			dict, known = c.dict, make([]int8, c.dict.Len())
		}
		n := c.int32s[i]
		if known[n] == 0 {
			known[n] = -1
			if is(c.string(i)) {
				known[n] = 1
			}
		}
		return known[n] > 0
	}
}

// read fills in the rows of the given places, which are in order.
func (f *flowColumns) read(dst []flowRow, places []int32) error {
	for i := range flowFields {
		c := f.column(i)
		for k, row := range places {
			at, err := c.at(int64(row))
			if err != nil {
				return fmt.Errorf("column %s: %w", flowFields[i].name, err)
			}
			flowFields[i].set(&dst[k], c, at)
		}
	}
	return nil
}

// flowMatch is a FlowQuery made ready.
type flowMatch struct {
	FlowQuery
	since, until int64 // microseconds
	always       bool  // all rows lie between them
	one          string
}

func newFlowMatch(q FlowQuery) flowMatch {
	m := flowMatch{FlowQuery: q}
	m.since, m.until = q.Range.micros()
	if q.Host.IsValid() && q.Host.IsSingleIP() {
		m.one = q.Host.Addr().Unmap().String()
	}
	return m
}

// host reports whether an address lies in the network asked for.
func (q *flowMatch) host(addr string) bool {
	if q.one != "" {
		return addr == q.one
	}
	a, err := netip.ParseAddr(addr)
	return err == nil && q.Host.Contains(a)
}

// row reports whether a row is asked for.
func (q *flowMatch) row(r *flowRow) bool {
	return r.End >= q.since && r.End < q.until &&
		(q.App == "" || r.App == q.App) && (!q.Novel || r.Novel) &&
		(q.Port == 0 || r.SrcPort == int32(q.Port) || r.DestPort == int32(q.Port)) &&
		(!q.Host.IsValid() || q.host(r.SrcIP) || q.host(r.DestIP))
}
