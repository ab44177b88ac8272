package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan is the command that packages are built with.
func newMan(g *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages",
		Long: `Write a manual page for weir and each of its commands, weir.1, weir-run.1 and so on. SOURCE_DATE_EPOCH (Unix seconds) is the date
that they bear, without it today.`,
		Example: `  weir man man1 && man -l man1/weir-run.1`,
		Args:    cobra.ExactArgs(1),
		Hidden:  true,
		RunE: func(c *cobra.Command, args []string) error {
			date := time.Now()
			if epoch := os.Getenv("SOURCE_DATE_EPOCH"); epoch != "" {
				seconds, err := strconv.ParseInt(epoch, 10, 64)
				if err != nil {
					return usageError{fmt.Errorf("SOURCE_DATE_EPOCH %q: want Unix seconds", epoch)}
				}
				date = time.Unix(seconds, 0)
			}
			return g.writePages(c.Root(), args[0], date.UTC())
		},
	}
}

// writePages writes the pages of a command and of all below it.
func (g *shared) writePages(c *cobra.Command, dir string, date time.Time) error {
	page := g.manPage(c, date)
	if err := os.WriteFile(filepath.Join(dir, manName(c)+".1"), []byte(page), 0o666); err != nil {
		return err
	}
	for _, sub := range shownCommands(c) {
		if err := g.writePages(sub, dir, date); err != nil {
			return err
		}
	}
	return nil
}

// shownCommands are the commands of a command that people are told of; what cobra adds by itself is in its help.
func shownCommands(c *cobra.Command) (shown []*cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
			shown = append(shown, sub)
		}
	}
	return shown
}

// manName is the name of a command's page.
func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage returns a command's page in the language of man(7).
func (g *shared) manPage(c *cobra.Command, date time.Time) string {
	var p roff
	p.line(`.TH %s 1 %s "weir %s" "weir"`, strings.ToUpper(roffText(manName(c))), date.Format(time.DateOnly), roffText(version))
	p.line(".nh\n.ad l")
	p.section("NAME")
	short := []rune(c.Short)
	p.text(manName(c) + " - " + string(unicode.ToLower(short[0])) + string(short[1:]))

	p.section("SYNOPSIS")
	use := strings.TrimPrefix(c.Use, c.Name())
	switch {
	case c.HasSubCommands():
		use = " COMMAND"
	case c.HasAvailableFlags():
		use += " [OPTIONS]"
	}
	p.line(".B %s", roffText(c.CommandPath()))
	p.text(strings.TrimSpace(use))

	p.section("DESCRIPTION")
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	for i, paragraph := range strings.Split(long, "\n\n") {
		if i > 0 {
			p.line(".PP")
		}
		p.paragraph(paragraph)
	}
	if commands := shownCommands(c); len(commands) > 0 {
		p.section("COMMANDS")
		for _, sub := range commands {
			p.item(`\fB` + roffText(sub.CommandPath()) + `\fR`)
			p.text(sub.Short)
		}
	}
	g.manFlags(&p, c, "OPTIONS", c.NonInheritedFlags())
	g.manFlags(&p, c, "OPTIONS OF ALL COMMANDS", c.InheritedFlags())
	if c.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(c.Example)
	}
	if !c.HasParent() {
		p.manTable("EXIT STATUS", manStatus)
		p.manTable("FILES", manFiles)
		p.manTable("ENVIRONMENT", manEnvironment)
	}
	p.section("SEE ALSO")
	var also []string
	if c.HasParent() {
		also = append(also, manName(c.Parent())+"(1)")
	}
	for _, sub := range shownCommands(c) {
		also = append(also, manName(sub)+"(1)")
	}
	p.text(strings.Join(also, ", "))
	return p.String()
}

// What the page of weir itself tells of all commands: what it is called, and what it is.
var (
	manStatus = [][2]string{
		{strconv.Itoa(exitDone), "Done."}, {strconv.Itoa(exitFailed), "Failed."}, {strconv.Itoa(exitUsage), "Wrong usage."},
		{strconv.Itoa(exitPartly), "Partly done: some inputs could not be read whole, or an interface went away. They are named on stderr."},
	}
	manFiles = [][2]string{
		{"./models, ~/.local/share/weir/models", "Models: the first, unless only the second is there."},
		{"./store, ~/.local/share/weir/store", "History, where commands that ask it are given none."},
		{"~/.config/weir/token", "Token of tools that ask the dashboard."},
		{"/etc/weir/weir.yaml, /var/lib/weir, /var/log/weir", "Configuration, state and events of the service that the Debian package brings."},
		{"/usr/share/doc/weir", "What pages call docs/, where the package is installed: operating.md, formats.md and others."},
	}
	manEnvironment = [][2]string{
		{"WEIR_KERNEL", "Kernels to use in place of the best that the processor has; weir version names those in use."},
		{"XDG_DATA_HOME, XDG_CONFIG_HOME", "In place of ~/.local/share and ~/.config."},
		{"SUDO_UID, SUDO_GID", "Whom root becomes once interfaces are open, unless --user names another."},
		{"NOTIFY_SOCKET, WATCHDOG_USEC", "The service manager that weir run tells how it is: sd_notify(3)."},
	}
)

// manTable appends a section of names and what they are.
func (p *roff) manTable(title string, rows [][2]string) {
	p.section(title)
	for _, row := range rows {
		p.item(roffText(row[0]))
		p.text(row[1])
	}
}

// manFlags appends a section of flags, if there are any.
func (g *shared) manFlags(p *roff, c *cobra.Command, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		name := `\fB` + roffText("--"+f.Name) + `\fR`
		if f.Shorthand != "" {
			name = `\fB` + roffText("-"+f.Shorthand) + `\fR, ` + name
		}
		if v := g.flagValue(c, f); v.name != "" {
			name += ` \fI` + roffText(v.name) + `\fR`
		}
		p.item(name)
		p.text(f.Usage + manDefault(f))
	})
}

// manDefault says what a flag is when it is not given, where that says something and is the same on all machines.
func manDefault(f *pflag.Flag) string {
	switch {
	case f.Name == "workers":
		return " (default one for each processor)"
	case strings.Contains(f.Usage, "(default"), f.DefValue == "", f.DefValue == "false", f.DefValue == "0", f.DefValue == "0s", f.DefValue == "[]":
		return ""
	}
	return " (default " + strings.Trim(f.DefValue, "[]") + ")"
}

// roff is a page in the making.
type roff struct{ strings.Builder }

func (p *roff) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *roff) section(title string) { p.line(".SH %s", title) }

// item begins what is told of name, which is roff already.
func (p *roff) item(name string) { p.line(".TP\n%s", name) }

// text appends plain text, filled.
func (p *roff) text(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		p.line("%s", roffText(strings.TrimSpace(line)))
	}
}

// paragraph appends plain text, of which indented lines stay as they are.
func (p *roff) paragraph(text string) {
	var filled, fixed []string
	flush := func() {
		if len(filled) > 0 {
			p.text(strings.Join(filled, "\n"))
		}
		if len(fixed) > 0 {
			p.verbatim(strings.Join(fixed, "\n"))
		}
		filled, fixed = nil, nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		if indented := strings.HasPrefix(line, "  "); indented != (len(fixed) > 0) {
			flush()
		}
		if strings.HasPrefix(line, "  ") {
			fixed = append(fixed, line)
		} else {
			filled = append(filled, line)
		}
	}
	flush()
}

// verbatim appends lines as they are.
func (p *roff) verbatim(text string) {
	p.line(".nf")
	for line := range strings.SplitSeq(text, "\n") {
		p.line("%s", roffText(line))
	}
	p.line(".fi")
}

// roffText makes plain text of one line mean itself: groff_char(7).
func roffText(text string) string {
	text = roffEscape.Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, `\(aq`) {
		text = `\&` + text
	}
	return text
}

// A hyphen that is typed must be one that can be copied into a shell.
var roffEscape = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "\u00a0", `\ `)
