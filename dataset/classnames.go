package dataset

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// classNames reads what the numbers of an IDX file of labels mean: PREFIXclasses.txt or
// PREFIXclasses.csv beside the images PREFIXimages-idx3-ubyte, or classes.txt or classes.csv.
// Without such a file there are no names, and numbers are labels.
func classNames(images string) (map[int]string, error) {
	prefix := strings.TrimSuffix(uncompressed(images), imagesEnding)
	dir := filepath.Dir(images)
	for _, path := range []string{
		prefix + "classes.txt", prefix + "classes.csv",
		filepath.Join(dir, "classes.txt"), filepath.Join(dir, "classes.csv"),
	} {
		f, err := os.Open(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		defer f.Close()
		names, err := parseClassNames(f)
		if err != nil {
			return nil, fmt.Errorf("dataset: %s %w", path, err)
		}
		return names, nil
	}
	return nil, nil
}

// parseClassNames reads one class per line: "3 Gmail", "3,Gmail", or "Gmail" alone, which then is
// the number of its line, counted from 0. Empty lines and those that start with # do not count,
// nor does a first line that is a header.
func parseClassNames(r io.Reader) (map[int]string, error) {
	names := make(map[int]string)
	lines := bufio.NewScanner(r)
	line, plainNames := 0, 0
	for lines.Scan() {
		line++
		text := clean(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		number, name := plainNames, text
		if i := strings.IndexAny(text, ", \t;"); i > 0 {
			if n, err := strconv.Atoi(text[:i]); err == nil {
				number, name = n, clean(strings.Trim(clean(text[i+1:]), `"`))
			} else if line == 1 && strings.ContainsAny(text[i:i+1], ",;") {
				continue
			}
		}
		if number == plainNames {
			plainNames++
		}
		if number < 0 || number > 255 || name == "" {
			return nil, fmt.Errorf("line %d: %q is not a class (0 to 255) with its name", line, short(text))
		}
		if other, twice := names[number]; twice {
			return nil, fmt.Errorf("line %d: class %d is %q here and %q above", line, number, short(name), other)
		}
		names[number] = name
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line+1, err)
	}
	return names, nil
}
