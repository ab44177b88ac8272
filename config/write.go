package config

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Setting is a key with what it is set to.
type Setting struct {
	Key
	Values []string
	Set    bool // otherwise the default holds
}

// Write writes a file that sets what is set and has all other keys as comments, with what they mean and their defaults.
// Parse gives the same back.
func Write(w io.Writer, head string, settings []Setting) error {
	out := bufio.NewWriter(w)
	comment(out, head)
	for i := range settings {
		s := &settings[i]
		fmt.Fprintln(out)
		comment(out, s.Usage)
		about := ""
		if s.Kind != Text && s.Kind != Bool {
			about = want[s.Kind]
			if s.Kind == List {
				about = "one or a list, such as [a, b]"
			}
		}
		if s.Default != "" {
			if about != "" {
				about += "; "
			}
			about += "default " + s.Default
		}
		comment(out, about)
		switch {
		case s.Set:
			fmt.Fprintf(out, "%s: %s\n", s.Name, value(s.Kind, s.Values))
		case s.Default != "":
			fmt.Fprintf(out, "#%s: %s\n", s.Name, value(s.Kind, []string{s.Default}))
		default:
			fmt.Fprintf(out, "#%s:\n", s.Name)
		}
	}
	return out.Flush()
}

// comment writes lines of text, none for "".
func comment(w io.Writer, text string) {
	if text == "" {
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(w, "# %s\n", line)
	}
}

func value(kind Kind, values []string) string {
	switch kind {
	case List:
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = quote(v)
		}
		return "[" + strings.Join(texts, ", ") + "]"
	case Text, Duration:
		return quote(values[0])
	}
	return values[0]
}

// plain is text that is itself in YAML, but for the words that mean something else.
var (
	plain = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./@-]*$`)
	words = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|null|y|n)$`)
	times = regexp.MustCompile(`^[0-9.]+(ns|us|ms|s|m|h)([0-9.]+(ns|us|ms|s|m|h))*$`)
)

// quote writes text so that it is read as text: JSON's strings are YAML's.
func quote(text string) string {
	if plain.MatchString(text) && !words.MatchString(text) || times.MatchString(text) {
		return text
	}
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // a string can be encoded
	}
	return strings.TrimSuffix(out.String(), "\n")
}
