package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/capture/filter"
	"github.com/weirnet/weir/packet"
)

// filterFlags say which packets of the input count.
type filterFlags struct {
	text string // expression of --filter
	file string // program of --bpf

	expr    *filter.Expr
	program *filter.Program
	quiet   bool         // says nothing of what passed
	links   []linkFilter // of the link types met so far
	now     int          // index of links: that of the last packet
	tagged  uint64       // Ethernet frames that were left out and have a VLAN tag
}

// linkFilter is a filter for packets of one link type.
type linkFilter struct {
	link    packet.LinkType
	program *filter.Program // nil: there is none for this link type
	err     error           // why
	packets uint64
}

func (f *filterFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.text, "filter", "", "count only packets that pass this expression of tcpdump's filter language")
	c.Flags().StringVar(&f.file, "bpf", "", "count only packets that pass this program, a file that \"tcpdump -ddd\" wrote")
}

// open reads what the flags of a command say.
func (f *filterFlags) open(c *cobra.Command) error {
	var err error
	if f.quiet, err = c.Flags().GetBool("quiet"); err != nil {
		return err
	}
	switch {
	case f.text != "" && f.file != "":
		return usageError{errors.New("--filter and --bpf: one of both")}
	case f.text != "":
		f.expr, err = parseFilter("--filter", f.text)
	case f.file != "":
		f.program, err = readProgram(f.file)
	}
	return err
}

// parseFilter reads a filter expression that was given as what. What is wrong with it is shown in its
// place.
func parseFilter(what, text string) (*filter.Expr, error) {
	e, err := filter.Parse(text)
	var wrong *filter.Error
	if errors.As(err, &wrong) {
		pointer := strings.ReplaceAll(wrong.Pointer(), "\n", "\n  ")
		return nil, usageError{fmt.Errorf("%s: %s (offset %d)\n  %s", what, wrong.Problem, wrong.Offset, pointer)}
	}
	return e, err
}

// readProgram reads the file of --bpf.
func readProgram(file string) (*filter.Program, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, usageError{fmt.Errorf("--bpf: %w", err)}
	}
	defer f.Close()
	p, err := filter.ReadProgram(f)
	if err != nil {
		return nil, usageError{fmt.Errorf("--bpf %s: %w", file, err)}
	}
	return p, nil
}

// String returns the flag as it was given, "" without one.
func (f *filterFlags) String() string {
	switch {
	case f.text != "":
		return "--filter " + strconv.Quote(f.text)
	case f.file != "":
		return "--bpf " + f.file
	}
	return ""
}

// wanted returns what decides on packets, nil without a filter.
func (f *filterFlags) wanted() func(*capture.Packet) bool {
	if f.expr == nil && f.program == nil {
		return nil
	}
	return func(p *capture.Packet) bool {
		if f.now == len(f.links) || f.links[f.now].link != p.Link {
			f.meet(p.Link)
		}
		l := &f.links[f.now]
		l.packets++
		if l.program != nil && l.program.Match(p.Data, p.WireLen) {
			return true
		}
		if p.Link == packet.LinkEthernet && len(p.Data) > 13 && p.Data[12] == 0x81 && p.Data[13] == 0x00 {
			f.tagged++
		}
		return false
	}
}

// meet makes link the link type of the next packet.
func (f *filterFlags) meet(link packet.LinkType) {
	if f.now = slices.IndexFunc(f.links, func(l linkFilter) bool { return l.link == link }); f.now >= 0 {
		return
	}
	l := linkFilter{link: link, program: f.program}
	if f.expr != nil {
		l.program, l.err = f.expr.Compile(link, filter.MaxSnapLen)
	}
	f.now = len(f.links)
	f.links = append(f.links, l)
}

// tell says what the filter left out, and returns an error that makes the exit status say so when there
// were packets that it has no meaning for.
func (f *filterFlags) tell(passed, left uint64) error {
	var refused uint64
	var err error
	for _, l := range f.links {
		name := filter.LinkName(l.link)
		switch {
		case l.err != nil:
			refused += l.packets
			err = fmt.Errorf("--filter: %s", problem(l.err))
			slog.Warn(fmt.Sprintf("--filter: %s: %d packets of link type %s are left out", problem(l.err), l.packets, name))
		case l.program.Never():
			slog.Warn(fmt.Sprintf("--filter: no packet of link type %s can pass", name))
		}
	}
	if f.program != nil && len(f.links) > 1 {
		slog.Warn(fmt.Sprintf("--bpf: the program is for one link type, and there were packets of %d", len(f.links)))
	}
	if f.tagged > 0 && f.expr != nil && !strings.Contains(f.text, "vlan") {
		slog.Warn(fmt.Sprintf("--filter: %d packets that are left out have VLAN tags, behind which only \"vlan and …\" looks", f.tagged))
	}
	if left > 0 && !f.quiet {
		slog.Info(fmt.Sprintf("filter: %d of %d packets passed", passed, passed+left))
	}
	switch {
	case refused == 0:
		return nil
	case refused == passed+left:
		return err
	}
	return errPartly
}

// tellFilter says when a detector gets to see other packets than those that it learned from.
func tellFilter(ref, learned, now string) {
	if learned == now {
		return
	}
	name := func(filter string) string {
		if filter == "" {
			return "all packets"
		}
		return filter
	}
	slog.Warn(fmt.Sprintf("%s learned from %s and is given %s", ref, name(learned), name(now)))
}

// problem is what is wrong with a filter, without its place.
func problem(err error) string {
	var wrong *filter.Error
	if errors.As(err, &wrong) {
		return wrong.Problem
	}
	return err.Error()
}
