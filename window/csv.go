package window

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"
)

// Writer writes windows as rows of a table: the column start, then the 53 features by Names.
type Writer interface {
	Write(w *Window) error
	Close() error // writes what is still held back; the underlying io.Writer stays open
}

// CSVWriter writes windows as CSV: a header, then one row per window. The column start is UTC in
// RFC 3339 with as many digits of the second as it needs; numbers read back to the same float64.
type CSVWriter struct {
	w   *bufio.Writer
	row []byte
}

// NewCSVWriter returns a writer to w, to which it has given the header.
func NewCSVWriter(w io.Writer) *CSVWriter {
	c := &CSVWriter{w: bufio.NewWriterSize(w, 1<<16)}
	c.w.WriteString("start," + strings.Join(Names[:], ",") + "\n") // an error stays until Close
	return c
}

// emptyRow is what follows the start of a window of zeros: of a long silence, millions of rows.
var emptyRow = strings.Repeat(",0", len(Names)) + "\n"

// Write adds the row of a window.
func (c *CSVWriter) Write(w *Window) error {
	c.row = time.Unix(0, w.Start).UTC().AppendFormat(c.row[:0], time.RFC3339Nano)
	if w.Packets() == 0 {
		c.row = append(c.row, emptyRow...)
	} else {
		for _, x := range w.Vector() {
			c.row = append(c.row, ',')
			c.row = strconv.AppendFloat(c.row, x, 'f', -1, 64)
		}
		c.row = append(c.row, '\n')
	}
	_, err := c.w.Write(c.row)
	return err
}

// Close writes what is buffered. The underlying writer stays open.
func (c *CSVWriter) Close() error { return c.w.Flush() }
