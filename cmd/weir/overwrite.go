package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
)

// keepInputs refuses outputs that would destroy what the command is about to read: a file that is
// named as input too, or a capture in a directory of captures. Two outputs in one file are refused as
// well.
func keepInputs(c *cobra.Command, args []string) error {
	inputs := append([]string(nil), args...)
	if read, err := c.Flags().GetStringArray("read"); err == nil {
		inputs = append(inputs, read...)
	}
	for _, name := range []string{"data", "labels", "config"} {
		if path, err := c.Flags().GetString(name); err == nil && path != "" {
			inputs = append(inputs, path)
		}
	}
	outputs := make(map[string]string)
	for _, name := range []string{"output", "json", "report", "write", "onnx", "safetensors"} {
		path, err := c.Flags().GetString(name)
		if err != nil || path == "" || path == "-" {
			continue
		}
		if other := outputs[filepath.Clean(path)]; other != "" && !special(path) {
			return usageError{fmt.Errorf("--%s and --%s are the same file %s", other, name, path)}
		}
		outputs[filepath.Clean(path)] = name
		for _, in := range inputs {
			if destroys(path, in) {
				return usageError{fmt.Errorf("--%s %s would overwrite the input", name, path)}
			}
		}
	}
	return nil
}

// special reports whether path is there and no regular file, such as /dev/null.
func special(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular()
}

// destroys reports whether writing the file out destroys the input in, a file or a directory.
func destroys(out, in string) bool {
	o, err := os.Stat(out)
	if err != nil || !o.Mode().IsRegular() || in == "-" {
		return false
	}
	i, err := os.Stat(in)
	if err != nil {
		return false
	}
	if !i.IsDir() {
		return os.SameFile(o, i)
	}
	return within(out, in) && isCapture(out)
}

// within reports whether file is below dir, through whatever links.
func within(file, dir string) bool {
	file, err := realPath(file)
	if err != nil {
		return false
	}
	if dir, err = realPath(dir); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, file)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func realPath(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// isCapture reports whether a packet can be read from the file.
func isCapture(path string) bool {
	r, err := capture.Open([]string{path})
	if err != nil {
		return false
	}
	defer r.Close()
	n, _ := r.Read(make([]capture.Packet, 1))
	return n > 0
}
