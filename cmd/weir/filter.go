package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/net/bpf"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/capture/filter"
	"github.com/weirnet/weir/packet"
)

// filterFlags say which packets are wanted: an expression in tcpdump's language, or a program that tcpdump made.
type filterFlags struct {
	text string
	file string

	expr     *filter.Expr
	program  *filter.Program                     // of file
	programs map[packet.LinkType]*filter.Program // of captures read so far
}

func (f *filterFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.text, "filter", "", "filter expression, as for tcpdump: only the packets that it passes are there")
	c.Flags().StringVar(&f.file, "bpf", "", "file with a program in place of it, as tcpdump -ddd prints")
}

// parse reads the filter; words are those that follow the flags, if they are one.
func (f *filterFlags) parse(words []string) error {
	text := f.text
	if len(words) > 0 {
		if text != "" {
			return usageError{errors.New("--filter and a filter behind the flags: give one of them")}
		}
		text = strings.Join(words, " ")
	}
	if f.file != "" {
		if text != "" {
			return usageError{errors.New("--bpf and a filter expression: give one of them")}
		}
		file, err := os.Open(f.file)
		if err != nil {
			return err
		}
		defer file.Close()
		if f.program, err = filter.ReadProgram(file); err != nil {
			return usageError{fmt.Errorf("%s: %w", f.file, err)}
		}
		return nil
	}
	if text == "" {
		return nil
	}
	var err error
	f.expr, err = filter.Parse(text)
	return told(err)
}

// told makes of what is wrong with an expression a usage error that shows the place.
func told(err error) error {
	if wrong := (*filter.Error)(nil); errors.As(err, &wrong) {
		return usageError{fmt.Errorf("%w\n%s", err, wrong.Pointer())}
	}
	return err
}

// keep leaves of a batch the packets that are wanted, in their order.
func (f *filterFlags) keep(batch []capture.Packet) ([]capture.Packet, error) {
	if f.expr == nil && f.program == nil {
		return batch, nil
	}
	kept := batch[:0]
	for i := range batch {
		p := &batch[i]
		program, err := f.of(p.Link)
		if err != nil {
			return nil, err
		}
		if program.Match(p.Data, p.WireLen) {
			kept = append(kept, *p)
		}
	}
	return kept, nil
}

// of returns the program for packets of a link type.
func (f *filterFlags) of(link packet.LinkType) (*filter.Program, error) {
	if f.program != nil {
		return f.program, nil
	}
	if p := f.programs[link]; p != nil {
		return p, nil
	}
	p, err := f.expr.Compile(link, 0)
	if err != nil {
		return nil, told(err)
	}
	if f.programs == nil {
		f.programs = map[packet.LinkType]*filter.Program{}
	}
	f.programs[link] = p
	return p, nil
}

// live returns the filter for interfaces, nil for none.
func (f *filterFlags) live(snapLen int) func(packet.LinkType) (capture.LiveFilter, error) {
	switch {
	case f.program != nil:
		raw := f.program.Raw()
		if slices.ContainsFunc(raw, asksKernel) {
			return func(packet.LinkType) (capture.LiveFilter, error) { return capture.LiveFilter{Socket: raw}, nil }
		}
		return func(packet.LinkType) (capture.LiveFilter, error) {
			return capture.LiveFilter{Match: f.program.Match, Program: raw}, nil
		}
	case f.expr != nil:
		return func(link packet.LinkType) (capture.LiveFilter, error) {
			p, err := f.of(link)
			if err != nil {
				return capture.LiveFilter{}, err
			}
			socket, err := f.expr.CompileSocket(link, snapLen)
			return capture.LiveFilter{Match: p.Match, Program: p.Raw(), Socket: socket}, told(err)
		}
	}
	return nil
}

// asksKernel reports whether an instruction loads what only the kernel knows of a packet (linux/filter.h, SKF_AD_OFF).
func asksKernel(i bpf.RawInstruction) bool {
	const class, load, mode, absolute, metadata = 0x07, 0x00, 0xe0, 0x20, 0xfffff000
	return i.Op&class == load && i.Op&mode == absolute && i.K >= metadata
}
