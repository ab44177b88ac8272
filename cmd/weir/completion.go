package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/window"
)

// value is what a flag takes: its name in manual pages, and what a shell offers for it.
type value struct {
	name  string
	offer cobra.CompletionFunc
}

// flagValue says what a flag of a command takes. Flags that share a name take the same, but where the command is asked as well.
func (g *shared) flagValue(c *cobra.Command, f *pflag.Flag) value {
	if f.Value.Type() == "bool" {
		return value{}
	}
	switch f.Name {
	case "read":
		return value{"FILE", offerFiles("pcap", "pcapng", "cap", "gz", "zst")}
	case "output":
		if c.Name() == "images" {
			return value{"DIR", offerDirs}
		}
		if c.Name() == "import" {
			return value{"NAME", cobra.NoFileCompletions}
		}
		return value{"FILE", offerFiles()}
	case "write":
		return value{"FILE", offerFiles("pcapng")}
	case "json":
		return value{"FILE", offerFiles("json")}
	case "report":
		return value{"FILE", offerFiles("html")}
	case "onnx", "safetensors":
		return value{"FILE", offerFiles(f.Name)}
	case "config":
		return value{"FILE", offerFiles(configEndings...)}
	case "http-cert", "http-key":
		return value{"FILE", offerFiles("pem", "crt", "key")}
	case "http-token", "bpf", "labels":
		return value{"FILE", offerFiles()}
	case "data", "models", "store", "evidence":
		return value{"DIR", offerDirs}
	case "apps", "shadow-apps":
		return value{"MODEL", g.offerModels(model.Apps)}
	case "anomaly", "shadow-anomaly":
		return value{"MODEL", g.offerModels(model.Anomaly)}
	case "model":
		return value{"MODEL", g.offerModels(map[string]model.Kind{"apps": model.Apps, "anomaly": model.Anomaly}[c.Name()])}
	case "interface":
		return value{"IFACE", offerInterfaces}
	case "send":
		return value{"URL", offerPrefixes("tcp://", "udp://", "syslog:")}
	case "http":
		return value{"ADDRESS:PORT", offerPrefixes("127.0.0.1:")}
	case "log-level":
		return value{"LEVEL", offer("debug", "info", "warn", "error")}
	case "verdict":
		return value{"VERDICT", offer(string(store.Untriaged), string(store.Confirmed), string(store.Dismissed))}
	case "profile":
		return value{"PROFILE", offer(classify.Default, classify.Paper)}
	case "unit":
		return value{"UNIT", offer(string(dataset.Session), string(dataset.SinglePacket))}
	case "network":
		return value{"NETWORK", offer("packet", "flow", "windows")}
	case "app":
		return value{"LABEL", g.offerLabels}
	case "since", "until", "from":
		return value{"TIME", cobra.NoFileCompletions}
	case "host":
		return value{"ADDRESS", cobra.NoFileCompletions}
	case "home":
		return value{"CIDR", cobra.NoFileCompletions}
	case "filter":
		return value{"EXPRESSION", cobra.NoFileCompletions}
	case "note":
		return value{"TEXT", cobra.NoFileCompletions}
	case "feature":
		return value{"FEATURE", offer(window.Names[:]...)}
	case "label-column", "split-column":
		return value{"COLUMN", cobra.NoFileCompletions}
	case "label-zone":
		return value{"ZONE", cobra.NoFileCompletions}
	case "user", "who", "name":
		return value{"NAME", cobra.NoFileCompletions}
	case "for":
		return value{"DURATION", cobra.NoFileCompletions}
	case "time":
		return value{"FROM-TO", cobra.NoFileCompletions}
	case "set":
		return value{"KEY=VALUE", offerKeys}
	}
	switch kind := f.Value.Type(); {
	case kind == "duration":
		return value{"DURATION", cobra.NoFileCompletions}
	case kind == "size":
		return value{"SIZE", cobra.NoFileCompletions}
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"), strings.HasPrefix(kind, "float"):
		return value{"N", cobra.NoFileCompletions}
	}
	return value{strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")), cobra.NoFileCompletions}
}

// completeValues tells shells what c and the commands below it take.
func (g *shared) completeValues(c *cobra.Command) {
	for _, sub := range c.Commands() {
		g.completeValues(sub)
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, has := c.GetFlagCompletionFunc(f.Name); has {
			return
		}
		if v := g.flagValue(c, f); v.offer != nil {
			_ = c.RegisterFlagCompletionFunc(f.Name, v.offer) // fails where there is no such flag, or a function already
		}
	})
	if c.ValidArgsFunction == nil && !c.HasSubCommands() {
		c.ValidArgsFunction = g.offerArgs
	}
}

// offerArgs offers what stands behind the flags.
func (g *shared) offerArgs(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	switch path := strings.TrimPrefix(c.CommandPath(), "weir "); path {
	case "model show", "model export", "model promote", "model rollback":
		if len(args) > 0 {
			break
		}
		return g.offerModels("")(c, args, word)
	case "model import":
		if len(args) > 0 {
			break
		}
		return []string{"onnx", "safetensors"}, cobra.ShellCompDirectiveFilterFileExt
	case "config check", "config print":
		if len(args) > 0 {
			break
		}
		return configEndings, cobra.ShellCompDirectiveFilterFileExt
	case "alerts show", "alerts exclude":
		if len(args) > 0 {
			break
		}
		return offerIncidents(c, args, word)
	case "alerts confirm", "alerts dismiss", "alerts reopen", "alerts export":
		return offerIncidents(c, args, word)
	case "alerts include":
		return offerExclusions(c, args, word)
	default:
		// Words are more captures where there are captures.
		if read := c.Flags().Lookup("read"); read != nil && read.Changed {
			return nil, cobra.ShellCompDirectiveDefault
		}
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// offerDirs offers directories.
func offerDirs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// offerFiles offers files with one of the endings, without any: all files.
func offerFiles(endings ...string) cobra.CompletionFunc {
	if len(endings) == 0 {
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	}
	return cobra.FixedCompletions(endings, cobra.ShellCompDirectiveFilterFileExt)
}

// offer offers fixed words.
func offer(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// offerPrefixes offers beginnings of words.
func offerPrefixes(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
}

// configEndings are those of files of configuration.
var configEndings = []string{"yaml", "yml"}

// offerKeys offers what --set sets.
func offerKeys(c *cobra.Command, _ []string, _ string) (words []string, _ cobra.ShellCompDirective) {
	for _, k := range keys(c.Flags()) {
		words = append(words, k.Name+"=\t"+k.Usage)
	}
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// offerModels offers models of a kind, "": of any; their versions once there is an @.
func (g *shared) offerModels(kind model.Kind) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, word string) (words []string, _ cobra.ShellCompDirective) {
		entries, err := g.registry().List()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		// What is promoted is one version of several.
		versions := strings.Contains(word, "@") || c.Name() == "promote"
		for _, e := range entries {
			if e.Fault != nil || kind != "" && e.Kind != kind {
				continue
			}
			what := string(e.Kind)
			if e.Live {
				what += ", live"
			}
			switch {
			case versions:
				words = append(words, e.Name+"@"+e.Version+"\t"+what)
			case e.Live:
				words = append(words, e.Name+"\t"+string(e.Kind))
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// offerLabels offers the labels of the models of applications.
func (g *shared) offerLabels(*cobra.Command, []string, string) (words []string, _ cobra.ShellCompDirective) {
	entries, err := g.registry().List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, e := range entries {
		if e.Kind == model.Apps && e.Live {
			words = append(words, e.Labels...)
		}
	}
	// A label may hold anything, such as the tab or the line break that end a word here.
	words = slices.DeleteFunc(words, func(label string) bool { return label != printable(label) })
	slices.Sort(words)
	return slices.Compact(words), cobra.ShellCompDirectiveNoFileComp
}

// offerInterfaces offers the interfaces that are up, also behind a comma.
func offerInterfaces(_ *cobra.Command, _ []string, word string) (words []string, _ cobra.ShellCompDirective) {
	all, err := capture.Interfaces()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	before := word[:strings.LastIndexByte(word, ',')+1]
	for _, i := range all {
		if i.Up {
			words = append(words, before+i.Name)
		}
	}
	if before == "" {
		words = append(words, capture.AnyInterface+"\tall of them")
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// offered bounds how many incidents are offered: the newest.
const offered = 50

// offerIncidents offers the newest incidents of the history.
func offerIncidents(c *cobra.Command, _ []string, _ string) (words []string, _ cobra.ShellCompDirective) {
	err := offerFrom(c, func(ctx context.Context, s *store.Disk) error {
		incidents, err := s.Incidents(ctx, store.IncidentQuery{Limit: offered})
		for i := range incidents {
			in := &incidents[i]
			words = append(words, fmt.Sprintf("%d\t%s, %d alerts, %s", in.ID, showTime(in.Start), in.Windows, showVerdict(in.Triage)))
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	slices.Reverse(words)
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// offerExclusions offers the exclusions of the history.
func offerExclusions(c *cobra.Command, _ []string, _ string) (words []string, _ cobra.ShellCompDirective) {
	err := offerFrom(c, func(ctx context.Context, s *store.Disk) error {
		all, err := s.Exclusions(ctx)
		for i := range all {
			words = append(words, fmt.Sprintf("%d\t%s", all[i].ID, printable(describe(&all[i]))))
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// offerFrom asks the history that a command would ask.
func offerFrom(c *cobra.Command, ask func(context.Context, *store.Disk) error) error {
	dir, err := c.Flags().GetString("store")
	if err != nil {
		return err
	}
	s, _, err := (&past{dir: dir}).open(c.Context())
	if err != nil {
		return err
	}
	defer s.Close()
	return ask(c.Context(), s)
}
