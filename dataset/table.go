package dataset

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// openData opens a file and takes off the compression that its name tells of (.gz, .zst).
func openData(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	switch {
	case strings.HasSuffix(path, ".gz"):
		z, err := gzip.NewReader(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return joined{z, []io.Closer{z, f}}, nil
	case strings.HasSuffix(path, ".zst"):
		z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return joined{z, []io.Closer{z.IOReadCloser(), f}}, nil
	}
	return f, nil
}

// joined is a reader with all that has to be closed after it.
type joined struct {
	io.Reader
	closers []io.Closer
}

func (j joined) Close() error {
	var errs []error
	for _, c := range j.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// uncompressed returns a file name without its ending of compression.
func uncompressed(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
}

// table is a text table with a header: CSV with comma or semicolon, tab or bar separated
// columns, or a Zeek log. Column names are compared by their letters and digits alone, so that
// "Src IP", "src_ip" and "SrcIP" are one name.
type table struct {
	name    string
	columns []string // as the file has them
	index   map[string]int
	zeek    bool
	ragged  bool // the header's last columns are separated by spaces (IoT-23's labelled logs)

	lines *bufio.Reader
	quote *csv.Reader // nil: columns are split at sep, without quotes
	sep   string
	line  int
}

// wideGap separates the last columns of IoT-23's conn.log.labeled, which were added to Zeek's
// tab-separated logs with three spaces.
var wideGap = regexp.MustCompile(` {2,}`)

// newTable reads the header of r. name is for error messages.
func newTable(name string, r io.Reader) (*table, error) {
	t := &table{name: name, lines: bufio.NewReaderSize(r, 64<<10)}
	if bom, _ := t.lines.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		t.lines.Discard(3)
	}
	for {
		text, err := t.readLine()
		if err != nil {
			if err == io.EOF {
				return nil, fmt.Errorf("%s: no header", name)
			}
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		switch {
		case strings.TrimSpace(text) == "":
		case strings.HasPrefix(text, "#fields"):
			t.zeek = true
			t.setHeader(strings.TrimLeft(strings.TrimPrefix(text, "#fields"), "\t ,"), "\t")
			return t, nil
		case zeekDirective(text):
			t.zeek = true
		default:
			text = strings.TrimPrefix(text, "#")
			t.setHeader(text, separator(text))
			return t, nil
		}
	}
}

// zeekDirective tells the lines that stand above and below a Zeek log.
func zeekDirective(line string) bool {
	for _, word := range []string{"#separator", "#set_separator", "#empty_field", "#unset_field", "#path", "#open", "#close", "#types"} {
		if strings.HasPrefix(line, word) {
			return true
		}
	}
	return false
}

// separator returns the separator that a header uses most.
func separator(header string) string {
	best, most := ",", 0
	for _, sep := range []string{",", ";", "\t", "|"} {
		if n := strings.Count(header, sep); n > most {
			best, most = sep, n
		}
	}
	return best
}

func (t *table) setHeader(header, sep string) {
	t.sep = sep
	if sep == "," || sep == ";" {
		t.quote = csv.NewReader(t.lines)
		t.quote.Comma = rune(sep[0])
		t.quote.LazyQuotes = true
		t.quote.FieldsPerRecord = -1
		t.quote.ReuseRecord = true
		head := csv.NewReader(strings.NewReader(header))
		head.Comma, head.LazyQuotes = rune(sep[0]), true
		t.columns, _ = head.Read()
	}
	if t.columns == nil {
		t.quote = nil
		t.columns = strings.Split(header, sep)
		if last := t.columns[len(t.columns)-1]; wideGap.MatchString(strings.TrimSpace(last)) {
			t.ragged = true
			t.columns = append(t.columns[:len(t.columns)-1], wideGap.Split(strings.TrimSpace(last), -1)...)
		}
	}
	t.index = make(map[string]int, len(t.columns))
	for i, c := range t.columns {
		t.columns[i] = clean(c)
		if _, twice := t.index[plain(c)]; !twice {
			t.index[plain(c)] = i
		}
	}
}

// maxLine is the longest line of a table, in bytes.
const maxLine = 1 << 20

var errLongLine = errors.New("line longer than 1 MiB")

func (t *table) readLine() (string, error) {
	var long []byte
	for {
		part, err := t.lines.ReadSlice('\n')
		long = append(long, part...)
		if len(long) > maxLine {
			return "", errLongLine
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil && len(long) == 0 {
			return "", err
		}
		t.line++
		return strings.TrimRight(string(long), "\r\n"), nil
	}
}

// next returns the fields of the next row and its line. The slice is valid until the next call.
// Empty lines and comments of Zeek logs are passed over. The error is io.EOF at the end.
func (t *table) next() ([]string, int, error) {
	if t.quote != nil {
		for {
			fields, err := t.quote.Read()
			if err == io.EOF {
				return nil, 0, err
			}
			if err != nil {
				var parse *csv.ParseError
				if errors.As(err, &parse) {
					return nil, 0, fmt.Errorf("%s line %d: %w", t.name, t.line+parse.Line, parse.Err)
				}
				return nil, 0, fmt.Errorf("%s: %w", t.name, err)
			}
			line, _ := t.quote.FieldPos(0)
			if len(fields) == 1 && strings.TrimSpace(fields[0]) == "" {
				continue
			}
			return fields, t.line + line, nil
		}
	}
	for {
		text, err := t.readLine()
		if err == io.EOF {
			return nil, 0, err
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%s line %d: %w", t.name, t.line+1, err)
		}
		if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "#") {
			continue
		}
		fields := strings.Split(text, t.sep)
		if last := len(fields) - 1; t.ragged && last >= 0 {
			fields = append(fields[:last], wideGap.Split(strings.TrimSpace(fields[last]), -1)...)
		}
		return fields, t.line, nil
	}
}

// column returns the index of the first of the names that the table has, -1 for none.
func (t *table) column(names ...string) int {
	for _, name := range names {
		if i, ok := t.index[plain(name)]; ok {
			return i
		}
	}
	return -1
}

// field returns column i of a row, trimmed, and nothing where the row has no such column or, in
// the way of Zeek logs, a "-" or "(empty)" in it.
func (t *table) field(row []string, i int) string {
	if i < 0 || i >= len(row) {
		return ""
	}
	value := clean(row[i])
	if value == "-" || value == "(empty)" {
		return ""
	}
	return value
}

// plain reduces a column name to its lower-case letters and digits.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// clean trims a field and makes it valid UTF-8: CICIDS2017's labels hold a Windows-1252 dash.
func clean(field string) string {
	return strings.ToValidUTF8(strings.TrimSpace(field), "-")
}
