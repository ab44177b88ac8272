package main

import (
	"encoding/json"
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
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/packet"
)

// filterFlags say which packets are wanted: an expression in tcpdump's language, or a program that tcpdump made.
type filterFlags struct {
	text string
	file string

	expr    *filter.Expr
	program *filter.Program // of file
	links   []linkFilter    // of the link types met in captures so far
	now     int             // index of links: that of the last packet
	tagged  uint64          // Ethernet frames that were left out and have a VLAN tag
}

// linkFilter is a filter for the packets of one link type in captures.
type linkFilter struct {
	link    packet.LinkType
	program *filter.Program // nil: there is none for this link type
	err     error           // why
	packets uint64
}

func (f *filterFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.text, "filter", "", "filter expression, as for tcpdump: only the packets that it passes are there")
	c.Flags().StringVar(&f.file, "bpf", "", "file with a filter as tcpdump -ddd prints it, in place of --filter")
}

// parse reads the filter; words are those that follow the flags, if they are one.
func (f *filterFlags) parse(words []string) error {
	if len(words) > 0 {
		if f.text != "" {
			return usageError{errors.New("--filter and a filter behind the flags: give one of them")}
		}
		f.text = strings.Join(words, " ")
	}
	if f.file != "" {
		if f.text != "" {
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
	if f.text == "" {
		return nil
	}
	var err error
	f.expr, err = filter.Parse(f.text)
	return told(err)
}

// told makes of what is wrong with an expression a usage error that shows the place.
func told(err error) error {
	if wrong := (*filter.Error)(nil); errors.As(err, &wrong) {
		return usageError{fmt.Errorf("%w\n%s", err, wrong.Pointer())}
	}
	return err
}

// String returns the flag that says what is wanted, "" for all packets.
func (f *filterFlags) String() string {
	switch {
	case f.text != "":
		return "--filter " + strconv.Quote(f.text)
	case f.file != "":
		return "--bpf " + f.file
	}
	return ""
}

// wanted returns what decides on packets of captures, nil for all.
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
	l := linkFilter{link: link}
	l.program, l.err = f.of(link)
	f.now = len(f.links)
	f.links = append(f.links, l)
}

// of returns the program for packets of a link type.
func (f *filterFlags) of(link packet.LinkType) (*filter.Program, error) {
	if f.program != nil {
		return f.program, nil
	}
	return f.expr.Compile(link, filter.MaxSnapLen)
}

// tell says what the filter left out of captures, and returns an error that sets the exit status when there were
// packets that it has no meaning for.
func (f *filterFlags) tell(passed, left uint64, quiet bool) error {
	refused := false
	for _, l := range f.links {
		name := filter.LinkName(l.link)
		switch {
		case l.err != nil && l.packets == passed+left:
			return told(l.err)
		case l.err != nil:
			refused = true
			slog.Warn(fmt.Sprintf("%v: %d packets of link type %s are left out", l.err, l.packets, name))
		case l.program.Never():
			slog.Warn(fmt.Sprintf("filter: no packet of link type %s can pass", name))
		}
	}
	if f.program != nil && len(f.links) > 1 {
		slog.Warn(fmt.Sprintf("--bpf: the program is for one link type, and there were packets of %d", len(f.links)))
	}
	if f.tagged > 0 && f.expr != nil && !strings.Contains(f.text, "vlan") {
		slog.Warn(fmt.Sprintf("filter: %d packets that are left out have VLAN tags, behind which only \"vlan and …\" looks", f.tagged))
	}
	if left > 0 && !quiet {
		slog.Info(fmt.Sprintf("filter: %d of %d packets passed", passed, passed+left))
	}
	if refused {
		return errPartly
	}
	return nil
}

// compare says when a detector gets to see other packets than those that it learned from.
func (f *filterFlags) compare(p *model.Package) error {
	var learned anomalyTraining
	if len(p.Training.Options) == 0 {
		return nil // it came from elsewhere
	}
	if err := json.Unmarshal(p.Training.Options, &learned); err != nil {
		return fmt.Errorf("%s: options: %w", p.Ref(), err)
	}
	if learned.Filter == f.String() {
		return nil
	}
	name := func(filter string) string {
		if filter == "" {
			return "all packets"
		}
		return filter
	}
	slog.Warn(fmt.Sprintf("%s learned from %s and is given %s", p.Ref(), name(learned.Filter), name(f.String())))
	return nil
}

// live returns the filter for interfaces, nil for none.
func (f *filterFlags) live(snapLen int) func(packet.LinkType) (capture.LiveFilter, error) {
	switch {
	case f.program != nil:
		raw := f.program.Raw()
		if f.program.AsksKernel() {
			return func(packet.LinkType) (capture.LiveFilter, error) { return capture.LiveFilter{Socket: raw}, nil }
		}
		return func(packet.LinkType) (capture.LiveFilter, error) {
			return capture.LiveFilter{Match: f.program.Match, Program: raw}, nil
		}
	case f.expr != nil:
		return func(link packet.LinkType) (capture.LiveFilter, error) {
			p, err := f.of(link)
			if err != nil {
				return capture.LiveFilter{}, told(err)
			}
			if p.Never() {
				slog.Warn(fmt.Sprintf("filter: no packet of link type %s can pass", filter.LinkName(link)))
			}
			socket, err := f.expr.CompileSocket(link, snapLen)
			return capture.LiveFilter{Match: p.Match, Program: p.Raw(), Socket: socket}, told(err)
		}
	}
	return nil
}
