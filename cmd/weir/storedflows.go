package main

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/report"
	"github.com/weirnet/weir/store"
)

// storedFlows is a search of the flows that are stored.
type storedFlows struct {
	past
	app, host string
	port      uint16
	novel     bool
	newest    bool
	limit     int
	asJSON    bool
}

// The flags of weir flows that go with history alone, and those that go with captures alone.
var (
	historyFlags = []string{"store", "since", "until", "app", "host", "port", "novel", "newest", "limit", "json"}
	captureFlags = []string{"table", "directional", "apps", "lifetime", "tunnels", "filter", "bpf"}
)

func (f *storedFlows) flags(c *cobra.Command) {
	f.past.flags(c, "")
	c.Flags().StringVar(&f.app, "app", "", "only flows with this label")
	c.Flags().StringVar(&f.host, "host", "", "only flows of this address or network, such as 10.0.0.7 or 10.0.0.0/8, at either end")
	c.Flags().Uint16Var(&f.port, "port", 0, "only flows of this port, at either end; 0: any")
	c.Flags().BoolVar(&f.novel, "novel", false, "only flows unlike everything in training")
	c.Flags().BoolVar(&f.newest, "newest", false, "print the newest first")
	c.Flags().IntVar(&f.limit, "limit", 0, "print so many at most; 0: all")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON lines, as weir flows -r does")
}

// orCaptures checks what a command is given that takes captures, which files does, or history.
func (f *storedFlows) orCaptures(in *input, files func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		captures := len(in.files) > 0 || len(args) > 0
		others, with := captureFlags, "captures, which -r names"
		if captures {
			others, with = historyFlags, "what is stored, and not with -r"
		}
		for _, name := range others {
			if c.Flags().Changed(name) {
				return usageError{fmt.Errorf("--%s goes with %s", name, with)}
			}
		}
		if captures {
			return files(c, args)
		}
		if f.dir == "" && !exists(dataDir("store")) {
			return usageError{errors.New("no input: name captures with -r, or a history with --store")}
		}
		return nil
	}
}

// query is the search as the store has it.
func (f *storedFlows) query() (store.FlowQuery, error) {
	q := store.FlowQuery{App: f.app, Port: f.port, Novel: f.novel, Newest: f.newest, Limit: f.limit}
	if f.limit < 0 {
		return q, usageError{fmt.Errorf("--limit %d: must not be negative", f.limit)}
	}
	if f.host == "" {
		return q, nil
	}
	if addr, err := netip.ParseAddr(f.host); err == nil && addr.Zone() == "" {
		q.Host = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return q, nil
	}
	network, err := netip.ParsePrefix(f.host)
	if err != nil {
		return q, usageError{fmt.Errorf("--host %q: want an address or a network such as 10.0.0.0/8", f.host)}
	}
	q.Host = network.Masked()
	return q, nil
}

// print prints what is found. A segment that cannot be read is named, and the others are searched.
func (f *storedFlows) print(c *cobra.Command, g *shared, file string) error {
	q, err := f.query()
	if err != nil {
		return err
	}
	s, when, err := f.open(c.Context())
	if err != nil {
		return err
	}
	defer s.Close()
	q.Range = when
	out, finish, err := output(file)
	if err != nil {
		return err
	}
	lines := event.NewWriter(out)
	table := bufio.NewWriterSize(out, 64<<10)
	if !f.asJSON {
		g.info("%s", showRange(when))
		fmt.Fprintf(table, flowColumns, "last packet", "length", "proto", "from", "to", "packets", "bytes", "application")
	}
	found := 0
	var faults []error
	for flow, err := range s.Flows(c.Context(), q) {
		if err != nil {
			faults = append(faults, err)
			continue
		}
		found++
		if f.asJSON {
			e := flow.Event()
			err = lines.Write(&e)
		} else {
			err = printFlow(table, flow)
		}
		if err != nil {
			return finish(err)
		}
	}
	switch err := errors.Join(lines.Flush(), table.Flush()); {
	case err != nil:
		return finish(err)
	case len(faults) == 0:
		return finish(nil)
	case found == 0 || c.Context().Err() != nil:
		return finish(errors.Join(faults...))
	}
	for _, fault := range faults {
		slog.Warn(fault.Error())
	}
	return finish(errPartly)
}

// flowColumns are the columns of the table. Their width is fixed, so that a million flows need not be held.
const flowColumns = "%-19s  %9s  %-9s  %-21s  %-21s  %9s  %7s  %s\n"

func printFlow(out *bufio.Writer, f *store.Flow) error {
	app := "-"
	if f.Flow.App != "" {
		app = fmt.Sprintf("%s %.2f", printable(f.Flow.App), *f.Flow.Confidence)
		if f.Flow.Novel {
			app += " novel"
		}
	}
	length := time.Duration(f.Flow.End - f.Flow.Start)
	_, err := fmt.Fprintf(out, flowColumns, showTime(int64(f.Flow.End)), strconv.FormatFloat(length.Seconds(), 'f', 3, 64)+"s",
		printable(f.Tuple.Proto), showEnd(f.Tuple.SrcIP, f.Tuple.SrcPort, f.Tuple.Proto), showEnd(f.Tuple.DestIP, f.Tuple.DestPort, f.Tuple.Proto),
		report.Count(f.Flow.PacketsToServer+f.Flow.PacketsToClient), report.Bytes(float64(f.Flow.BytesToServer+f.Flow.BytesToClient)), app)
	return err
}

// showEnd is an end of a flow: address and port, where its protocol has ports.
func showEnd(addr string, port uint16, proto string) string {
	if port == 0 && proto != "TCP" && proto != "UDP" || strings.HasSuffix(proto, "ICMP") {
		return printable(addr)
	}
	return printable(net.JoinHostPort(addr, strconv.Itoa(int(port))))
}
