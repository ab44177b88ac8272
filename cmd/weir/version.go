package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/window"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit, kernels and feature versions",
		Long: `Print what a report of a fault should hold: the version and its commit, the kernels that this processor gets (WEIR_KERNEL chooses
others), and the versions of the features that models must have been trained on.`,
		Example: `  weir version`,
		RunE: func(c *cobra.Command, _ []string) error {
			commit := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						commit = s.Value
					}
				}
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "weir %s\ncommit   %s\ngo       %s %s/%s\nkernels  %s\nfeatures %s, %s\n",
				version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel.Name(), window.FeatureVersion, classify.FeatureVersion)
			return err
		},
	}
}
