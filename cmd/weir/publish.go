package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/report"
)

// publish writes a result where the flags want it.
func (g *shared) publish(c *cobra.Command, out *results, result any, page func() error) error {
	if out.json != "" {
		data, err := json.MarshalIndent(result, "", "  ")
		if err != nil {
			return err
		}
		f, finish, err := output(out.json)
		if err != nil {
			return err
		}
		_, err = f.Write(append(data, '\n'))
		if err := finish(err); err != nil {
			return err
		}
	}
	if out.report != "" {
		if err := page(); err != nil {
			return err
		}
		g.info("report: %s", out.report)
	}
	return nil
}

// writePage writes a report to a file.
func writePage(file string, page *report.Page) error {
	f, finish, err := output(file)
	if err != nil {
		return err
	}
	return finish(page.Write(f))
}
