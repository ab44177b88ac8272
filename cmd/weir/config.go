package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirnet/weir/config"
)

func newConfig(g *shared) *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "Check and print the configuration of weir run",
		Long: `Every flag of weir run can stand in a file as well, by its long name, which weir run --config reads. docs/operating.md tells which
come first, and what a run that goes on takes over when it gets SIGHUP.`,
	}
	check := configCommand(newRunner(g), func(_ *cobra.Command, r *runner) error {
		if err := r.check(nil); err != nil {
			return usageError{err}
		}
		g.info("%s: nothing is wrong", r.from.source())
		return nil
	})
	check.Use, check.Short = "check [FILE]", "Tell what is wrong with a configuration"
	check.Long = `Tell what is wrong with a file for weir run --config: keys that there are not, values that are none, filters that do not
compile, models that are not there or do not fit. Flags of weir run and --set count as they would there. Nothing is opened
but the file, models and certificates. Exit status 0: nothing is wrong, 2: something is.`
	check.Example = `  weir config check /etc/weir/weir.yaml
  weir config check weir.yaml --set interface=eth1`
	printed := configCommand(newRunner(g), func(c *cobra.Command, r *runner) error {
		return config.Write(os.Stdout, configHead, r.from.settings(c.Flags()))
	})
	printed.Use, printed.Short = "print [FILE]", "Print the configuration that holds, with all keys"
	printed.Long = `Print what a file for weir run --config, --set and flags of weir run come to, with every key that there is, what it means and
its default. Without any of them it is a file to begin with.`
	printed.Example = `  weir config print > weir.yaml
  weir config print weir.yaml --set store-days=7`
	c.AddCommand(check, printed)
	return c
}

// configHead begins what weir config print prints.
const configHead = `Configuration of weir run --config. Keys are the long names of its flags, which come first where both are given.
Lines with one # show defaults.`

// configCommand is a command that asks about the flags of a run; FILE is --config.
func configCommand(r *runner, do func(*cobra.Command, *runner) error) *cobra.Command {
	c := &cobra.Command{RunE: func(c *cobra.Command, _ []string) error { return do(c, r) }}
	c.Flags().AddFlagSet(r.Flags())
	r.from.asked = true
	c.Args = func(c *cobra.Command, args []string) error {
		if err := cobra.MaximumNArgs(1)(c, args); err != nil || len(args) == 0 {
			return err
		}
		return r.from.Set(args[0])
	}
	return c
}

// settings returns all keys with what holds for them.
func (s *settings) settings(flags *pflag.FlagSet) []config.Setting {
	var all []config.Setting
	for _, k := range keys(flags) {
		all = append(all, config.Setting{Key: k, Values: s.values[k.Name], Set: flags.Changed(k.Name)})
	}
	return all
}

// source names where values come from, for people.
func (s *settings) source() string {
	if s.file == "" {
		return "flags"
	}
	return s.file
}
