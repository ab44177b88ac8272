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
const batchLen = 512

// input is the captures that a command reads.
type input struct {
	files  []string
	opened []string // the captures that files stood for, once read was called
	filter filterFlags
	quiet  bool                        // says nothing of what the filter passed
	onOpen func(opened []string) error // called before the first packet; nil: nothing to do
	tunnelsFlag
}

func (in *input) flags(c *cobra.Command) {
	c.Flags().StringArrayVarP(&in.files, "read", "r", nil, "capture file, directory, or - for standard input; may be given several times")
	in.filter.flags(c)
	in.tunnelsFlag.flags(c)
	// Files that follow the first one need no further -r: weir flows -r a.pcap b.pcap
	c.Args = cobra.ArbitraryArgs
	c.PreRunE = func(c *cobra.Command, args []string) error {
		in.quiet, _ = c.Flags().GetBool("quiet")
		in.files = append(in.files, args...)
		if len(in.files) == 0 {
			return usageError{errors.New("no input: name captures with -r")}
		}
		return in.filter.parse(nil)
	}
}

// read gives all packets to add, batch by batch; a batch never spans two files. It calls wait when more
// may be a while in coming. It returns an error that sets the exit status when inputs could not be
// read whole. Packets that the filter leaves out are told, and not given. It stops when ctx ends.
func (in *input) read(ctx context.Context, wait func(), add func(r *capture.Reader, batch []capture.Packet) error) error {
	r, err := capture.Open(in.files)
	if err != nil {
		return err
	}
	defer r.Close()
	in.opened = r.Files()
	r.Keep(in.filter.wanted())
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
			if err := add(r, batch[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			left := r.LeftOut()
			return errors.Join(in.filter.tell(packets, left, in.quiet), tellFaults(r.Faults(), packets+left))
		}
		if err != nil {
			return err
		}
		if r.Waits() {
			wait()
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
