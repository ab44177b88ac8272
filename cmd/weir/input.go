package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/model"
)

// batchLen is how many packets are read at a time.
const batchLen = 4096

// input is the captures that a command reads.
type input struct {
	files  []string
	opened []string                    // the captures that files stood for, once read was called
	onOpen func(opened []string) error // called before the first packet; nil: nothing to do
	tunnelsFlag
	filter filterFlags // of the commands that have them
}

func (in *input) flags(c *cobra.Command) {
	c.Flags().StringArrayVarP(&in.files, "read", "r", nil, "capture file, directory, or - for standard input; may be given several times")
	in.tunnelsFlag.flags(c)
	// Files that follow the first one need no further -r: weir flows -r a.pcap b.pcap
	c.Args = cobra.ArbitraryArgs
	c.PreRunE = func(_ *cobra.Command, args []string) error {
		in.files = append(in.files, args...)
		if len(in.files) == 0 {
			return usageError{errors.New("no input: name captures with -r")}
		}
		return in.filter.parse(nil)
	}
}

// read gives all packets to add, batch by batch; a batch never spans two files. It returns an error
// that sets the exit status when inputs could not be read whole. It stops when ctx ends.
func (in *input) read(ctx context.Context, add func(r *capture.Reader, batch []capture.Packet) error) error {
	r, err := capture.Open(in.files)
	if err != nil {
		return err
	}
	defer r.Close()
	in.opened = r.Files()
	if in.onOpen != nil {
		if err := in.onOpen(in.opened); err != nil {
			return err
		}
	}
	batch := make([]capture.Packet, batchLen)
	var packets uint64
	for {
		n, err := r.Read(batch)
		if n > 0 {
			packets += uint64(n)
			wanted, err := in.filter.keep(batch[:n])
			if err != nil {
				return err
			}
			if err := add(r, wanted); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return tellFaults(r.Faults(), packets)
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// hashes returns name, size and hash of the captures that were read (capture.Hash). Standard input
// and other pipes are gone once read: they have no hash.
func (in *input) hashes() []model.DataFile {
	var files []model.DataFile
	for _, path := range in.opened {
		f := model.DataFile{Name: filepath.Base(path)}
		if info, err := os.Stat(path); path != "-" && err == nil && info.Mode().IsRegular() {
			if f.SHA256, f.Bytes, err = capture.Hash(path); err != nil {
				continue // nothing of it was read, which was told
			}
		}
		files = append(files, f)
	}
	return files
}

// unknown reports whether some of the files have no hash.
func unknown(files []model.DataFile) bool {
	return slices.ContainsFunc(files, func(f model.DataFile) bool { return f.SHA256 == "" })
}
