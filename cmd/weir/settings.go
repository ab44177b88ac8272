package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirnet/weir/config"
)

// settings are where the values of flags come from beside the command line: a file (--config) and single words (--set). Its keys are
// the long names of the flags, so there is one table of both. It is the value of --config.
type settings struct {
	file string
	sets []string // key=value, of --set

	asked bool // about by weir config: what stands behind its flags is the file

	given  map[string][]string // flags of the command line
	words  bool                // stand behind the flags
	values map[string][]string // of all keys, once applied
}

func (s *settings) flags(c *cobra.Command) {
	c.Flags().Var(s, "config", "file (YAML) with values for these flags, by their long names; flags of the command line come first")
	c.Flags().StringArrayVar(&s.sets, "set", nil, "KEY=VALUE, as a line of the file says it; before the file, behind flags; several times for several")
}

// Set implements pflag.Value.
func (s *settings) Set(file string) error { s.file = file; return nil }

// String implements pflag.Value.
func (s *settings) String() string { return s.file }

// Type implements pflag.Value.
func (s *settings) Type() string { return "string" }

// kinds are those of flags by their type.
var kinds = map[string]config.Kind{
	"string": config.Text, "bool": config.Bool, "int": config.Integer, "float64": config.Number, "duration": config.Duration,
	"size": config.Size, "stringArray": config.List,
}

// noKeys are the flags that say where values come from, or ask for something else than a run.
var noKeys = []string{"config", "set", "help", "list-interfaces"}

// keys returns what can be set: every flag but noKeys and those that say nothing, in the order in which they were made.
func keys(flags *pflag.FlagSet) []config.Key {
	sorted := flags.SortFlags
	flags.SortFlags = false
	defer func() { flags.SortFlags = sorted }()
	var all []config.Key
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || slices.Contains(noKeys, f.Name) {
			return
		}
		k := config.Key{Name: f.Name, Kind: kinds[f.Value.Type()], Usage: f.Usage, Default: f.DefValue}
		if k.Kind == config.List || k.Kind == config.Size && f.DefValue == "0" {
			k.Default = "" // the usage says it
		}
		all = append(all, k)
	})
	return all
}

// displaces says which keys of the file mean nothing beside one that is given before the file.
var displaces = map[string][]string{
	"read":      {"interface", "snapshot-length", "no-promiscuous", "ring-memory", "user", "write"},
	"interface": {"read", "speed", "follow-models"},
	"filter":    {"bpf"},
	"bpf":       {"filter"},
}

// apply gives flags that the command line does not give the values of --set and of the file. words says whether words stand behind the
// flags. What is wrong is told all at once.
func (s *settings) apply(flags *pflag.FlagSet, words bool) error {
	all := keys(flags)
	s.words = words
	s.given = map[string][]string{}
	for _, k := range all {
		if f := flags.Lookup(k.Name); f.Changed {
			s.given[k.Name] = valuesOf(f)
		}
	}
	var errs []error
	var entries []config.Entry
	if s.file != "" {
		var err error
		if entries, err = config.Read(s.file, all); err != nil {
			errs = append(errs, err)
		}
	}
	sets, err := s.parseSets(all)
	errs = append(errs, err)
	first := map[string]bool{} // that come before the file
	for name := range s.given {
		first[name] = true
	}
	for _, e := range sets {
		if _, given := s.given[e.Key]; !given {
			first[e.Key] = true
			if err := set(flags.Lookup(e.Key), e.Values); err != nil {
				errs = append(errs, fmt.Errorf("--set %s=%s: %w", e.Key, e.Values[len(e.Values)-1], err))
			}
		}
	}
	captures := first["read"] || !first["interface"] && slices.ContainsFunc(entries, func(e config.Entry) bool { return e.Key == "read" })
	if words && !captures { // the words are a filter
		first["filter"], first["bpf"] = true, true
	}
	for name, others := range displaces {
		if first[name] {
			for _, other := range others {
				if !first[other] {
					entries = slices.DeleteFunc(entries, func(e config.Entry) bool { return e.Key == other })
				}
			}
		}
	}
	for i := range entries {
		e := &entries[i]
		if first[e.Key] {
			continue
		}
		if err := set(flags.Lookup(e.Key), e.Values); err != nil {
			errs = append(errs, e.Wrong(err))
		}
	}
	s.values = map[string][]string{}
	for _, k := range all {
		s.values[k.Name] = valuesOf(flags.Lookup(k.Name))
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}

// parseSets reads what --set says. Values of a list that is set several times are all of them.
func (s *settings) parseSets(all []config.Key) (sets []config.Entry, err error) {
	var errs []error
	for _, text := range s.sets {
		name, value, ok := strings.Cut(text, "=")
		i := slices.IndexFunc(all, func(k config.Key) bool { return k.Name == name })
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("--set %q: want KEY=VALUE", text))
		case i < 0:
			wrong := fmt.Errorf("--set %s: unknown key %q", text, name)
			if hint := config.Suggest(all, name); hint != "" {
				wrong = fmt.Errorf("%w\n%s", wrong, hint)
			}
			errs = append(errs, wrong)
		default:
			at := slices.IndexFunc(sets, func(e config.Entry) bool { return e.Key == name })
			switch {
			case at < 0:
				sets = append(sets, config.Entry{Key: name, Values: []string{value}})
			case all[i].Kind == config.List:
				sets[at].Values = append(sets[at].Values, value)
			default:
				sets[at].Values = []string{value}
			}
		}
	}
	return sets, errors.Join(errs...)
}

// set gives a flag its values, and makes it one that is given.
func set(f *pflag.Flag, values []string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		f.Changed = true
		return list.Replace(slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" }))
	}
	if err := f.Value.Set(values[0]); err != nil {
		return plainCause(err, values[0])
	}
	f.Changed = true
	return nil
}

// plainCause leaves out what strconv says of its functions.
func plainCause(err error, value string) error {
	if cause := errors.Unwrap(err); cause != nil && strings.HasPrefix(err.Error(), "strconv.") {
		return fmt.Errorf("%q: %w", value, cause)
	}
	return err
}

// valuesOf returns the value of a flag as set takes it.
func valuesOf(f *pflag.Flag) []string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return []string{f.Value.String()}
}

// changed returns the keys whose values are others than before, in order.
func (s *settings) changed(before *settings) []string {
	var names []string
	for name, now := range s.values {
		if !slices.Equal(now, before.values[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// configure gives the flags of a command that has --config their values.
func configure(c *cobra.Command, words []string) error {
	f := c.Flags().Lookup("config")
	if f == nil {
		return nil
	}
	s := f.Value.(*settings)
	return s.apply(c.Flags(), len(words) > 0 && !s.asked)
}
