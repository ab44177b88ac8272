package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

func newInterfaces(g *shared) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "interfaces",
		Short: "List the network interfaces, and whether they can be watched",
		Long: `List the network interfaces: state, link type, MTU (bytes), addresses, and which of the card's and kernel's
offloads are on that merge packets before they are captured (gro, lro, tso, gso). With them on,
sizes and counts are not those on the wire: ethtool -K IFACE gro off lro off tso off gso off.`,
		Example: `  weir interfaces
  weir interfaces --json`,
		RunE: func(*cobra.Command, []string) error { return listInterfaces(os.Stdout, g, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// interfaceRow is an interface as weir interfaces --json prints it.
type interfaceRow struct {
	Name      string   `json:"name"`
	State     string   `json:"state"` // up, down, no carrier
	Link      string   `json:"link"`
	MTU       int      `json:"mtu"`
	Addresses []string `json:"addresses"`
	Merging   []string `json:"merging"` // offloads that are on
	Capture   bool     `json:"capture"` // this user may capture, and the interface is up
}

func listInterfaces(out io.Writer, g *shared, asJSON bool) error {
	all, err := capture.Interfaces()
	if err != nil {
		return err
	}
	permission := capture.CanCapture()
	rows := []interfaceRow{}
	for _, i := range all {
		row := interfaceRow{
			Name: i.Name, State: "up", Link: linkName(i.Link), MTU: i.MTU,
			Addresses: []string{}, Merging: append([]string{}, i.Offloads...), Capture: permission == nil && i.Up,
		}
		switch {
		case !i.Up:
			row.State = "down"
		case !i.Running:
			row.State = "no carrier"
		}
		for _, a := range i.Addresses {
			row.Addresses = append(row.Addresses, a.String())
		}
		rows = append(rows, row)
	}
	if asJSON {
		data, err := json.MarshalIndent(rows, "", "  ")
		if err != nil {
			return err
		}
		_, err = out.Write(append(data, '\n'))
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "name\tstate\tlink\tMTU\tmerging\taddresses")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", printable(r.Name), r.State, r.Link, r.MTU, dash(strings.Join(r.Merging, ",")), dash(strings.Join(r.Addresses, " ")))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case errors.Is(permission, capture.ErrNoPermission):
		g.info("This user may not capture: %s", permissionRemedy())
	case permission != nil:
		g.info("No capture here: %v", permission)
	}
	return nil
}

// dash stands for nothing in a table.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// linkName names the link types that captures on interfaces have.
func linkName(link packet.LinkType) string {
	switch link {
	case packet.LinkEthernet:
		return "Ethernet"
	case packet.LinkRaw:
		return "raw IP"
	case packet.LinkSLL2:
		return "cooked"
	}
	return fmt.Sprint(uint32(link))
}
