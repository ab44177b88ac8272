// Package config reads the YAML that sets what flags set, and writes it. It knows no flags and no meaning: the caller names the
// keys there are and what kind of value each has, and gets the values as text, as it would from a command line. What is not among
// the keys, or of another kind, is refused with its place.
//
//	entries, err := config.Parse("weir.yaml", data, keys)
//	for each entry { if err := set(entry.Key, entry.Values); err != nil { errs = append(errs, entry.Wrong(err)) } }
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Kind is what a value may be.
type Kind int

const (
	Text     Kind = iota // a string
	Bool                 // true or false
	Integer              // digits
	Number               // digits, with a point or without
	Duration             // a string such as 90s
	Size                 // a string such as 64MiB, or an integer: bytes
	List                 // of strings, or one of them
)

// Key is something that can be set.
type Key struct {
	Name    string
	Kind    Kind
	Usage   string // one line for people
	Default string // as Values would have it; "": the usage says it
}

// Entry is a key that a file sets.
type Entry struct {
	Key    string
	Values []string // of a list any number, otherwise one

	at position
}

// position is a place in a file.
type position struct {
	file         string
	line, column int    // from 1, columns in runes
	text         string // of the line
}

// Error is what is wrong with a file, and where.
type Error struct {
	position
	err  error
	hint string // "" for none
}

// Wrong returns err with the place of the entry's value.
func (e *Entry) Wrong(err error) *Error { return &Error{position: e.at, err: err} }

// Error says what is wrong in a line, shows the place in two more, and may end with a hint.
func (e *Error) Error() string {
	what := e.file
	if e.line > 0 {
		what = fmt.Sprintf("%s:%d:%d", e.file, e.line, e.column)
	}
	what += ": " + e.err.Error()
	if e.line > 0 {
		what += "\n" + e.pointer()
	}
	if e.hint != "" {
		what += "\n" + e.hint
	}
	return what
}

// Unwrap returns what is wrong without the place.
func (e *Error) Unwrap() error { return e.err }

// shown is how much of a long line is shown before and behind a place.
const shown = 60

// pointer returns the line, and below it a caret at the place.
func (p *position) pointer() string {
	line := []rune(strings.TrimRight(p.text, "\r\n"))
	at := min(p.column-1, len(line))
	from, to := max(at-shown, 0), min(at+shown, len(line))
	return strings.ReplaceAll(string(line[from:to]), "\t", " ") + "\n" + strings.Repeat(" ", at-from) + "^"
}

// maxBytes bounds a file: all keys with their comments are a tenth of it.
const maxBytes = 64 << 10

// ErrTooLarge refuses what cannot be a configuration.
var ErrTooLarge = fmt.Errorf("more than %d KiB: this is no configuration", maxBytes>>10)

// Read is Parse for a file.
func Read(name string, keys []Key) ([]Entry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	return Parse(name, data, keys)
}

// Parse returns what a file sets, in its order. Its error joins an *Error for everything that is wrong, as far as the file can be
// understood; the entries are those that are right. The name is for errors.
func Parse(name string, data []byte, keys []Key) (entries []Entry, err error) {
	if len(data) > maxBytes {
		return nil, &Error{position: position{file: name}, err: ErrTooLarge}
	}
	// A service reads its configuration again while it works: a fault of the library must not end it.
	defer func() {
		if fault := recover(); fault != nil {
			entries, err = nil, &Error{position: position{file: name}, err: fmt.Errorf("this YAML cannot be read: %v", fault)}
		}
	}()
	d := document{name: name, lines: strings.SplitAfter(string(data), "\n"), keys: keys, seen: map[string]int{}}
	for i, line := range d.lines {
		bad := strings.IndexFunc(line, func(r rune) bool {
			return r == utf8.RuneError || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f
		})
		if bad >= 0 {
			return nil, &Error{position: d.at(i+1, 1+utf8.RuneCountInString(line[:bad])), err: errors.New("this is no text: a byte that YAML does not allow")}
		}
	}
	tokens := lexer.Tokenize(string(data))
	if deep := tooDeep(tokens); deep != nil {
		return nil, &Error{position: d.of(deep), err: errors.New("too many lists in one another")}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // the places of all that are twice are told below
	if err != nil {
		return nil, d.syntax(err)
	}
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			d.wrong(begin(doc.Body), "a second document: a configuration is one")
			break
		}
		d.top(doc.Body)
	}
	return d.entries, errors.Join(d.errs...)
}

// maxDepth is how deep lists may stand in one another: no key takes more than one. Tens of thousands of them cost the parser
// gigabytes.
const maxDepth = 8

// tooDeep returns the token that begins one list too many, nil where none does.
func tooDeep(tokens token.Tokens) *token.Token {
	line, depth, entries := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, entries = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType:
			entries++
		}
		if depth > maxDepth || entries > maxDepth {
			return t
		}
	}
	return nil
}

// document is a file that is being read.
type document struct {
	name    string
	lines   []string
	keys    []Key
	seen    map[string]int // the line of a key
	entries []Entry
	errs    []error
}

func (d *document) at(line, column int) position {
	p := position{file: d.name, line: line, column: max(column, 1)}
	if line >= 1 && line <= len(d.lines) {
		p.text = d.lines[line-1]
	}
	return p
}

func (d *document) of(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{file: d.name}
	}
	return d.at(t.Position.Line, t.Position.Column)
}

func (d *document) wrong(t *token.Token, format string, args ...any) *Error {
	e := &Error{position: d.of(t), err: fmt.Errorf(format, args...)}
	d.errs = append(d.errs, e)
	return e
}

// syntax gives an error of the library the form of ours.
func (d *document) syntax(err error) error {
	var at yaml.Error
	if !errors.As(err, &at) {
		return &Error{position: position{file: d.name}, err: err}
	}
	e := &Error{position: d.of(at.GetToken()), err: errors.New(at.GetMessage())}
	switch {
	case strings.HasPrefix(strings.TrimLeft(e.text, " "), "\t"):
		e.hint = "YAML is indented with spaces, not with tabs"
	case strings.Contains(e.text, ":"):
		e.hint = "text that has a colon before a space, or at its end, stands in quotes"
	}
	return e
}

// top takes the mapping that a file is, or nothing at all.
func (d *document) top(body ast.Node) {
	switch body := body.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
	case *ast.MappingNode:
		for _, v := range body.Values {
			d.pair(v)
		}
	case *ast.MappingValueNode:
		d.pair(body)
	default:
		d.wrong(body.GetToken(), "want lines such as store-days: 30")
	}
}

// pair takes a key with its value.
func (d *document) pair(v *ast.MappingValueNode) {
	at := v.Key.GetToken()
	name := at.Value
	if _, plain := v.Key.(*ast.StringNode); !plain {
		d.wrong(at, "a key is a word").hint = "nothing of YAML but keys, values and lists is needed here"
		return
	}
	key, ok := find(d.keys, name)
	if !ok {
		d.wrong(at, "unknown key %q", name).hint = Suggest(d.keys, name)
		return
	}
	if line := d.seen[name]; line > 0 {
		d.wrong(at, "%s is there twice, first in line %d", name, line)
		return
	}
	d.seen[name] = at.Position.Line
	entry := Entry{Key: name, at: d.of(v.Value.GetToken())}
	if key.Kind == List {
		entry.Values, ok = d.list(name, v.Value)
	} else {
		var value string
		value, ok = d.scalar(name, key.Kind, v.Value)
		entry.Values = []string{value}
	}
	if ok {
		d.entries = append(d.entries, entry)
	}
}

// list takes a list of texts, or one text.
func (d *document) list(name string, v ast.Node) (values []string, ok bool) {
	s, many := v.(*ast.SequenceNode)
	if !many {
		one, ok := d.scalar(name, Text, v)
		return []string{one}, ok
	}
	ok = true
	for _, item := range s.Values {
		value, good := d.scalar(name, Text, item)
		values = append(values, value)
		ok = ok && good
	}
	return values, ok
}

// want says what a value of each kind is.
var want = [...]string{
	Text: "text", Bool: "true or false", Integer: "a whole number", Number: "a number", Duration: "a duration such as 90s or 5m",
	Size: "a number of bytes such as 64MiB", List: "texts",
}

// scalar takes a value that is no list.
func (d *document) scalar(name string, kind Kind, v ast.Node) (value string, ok bool) {
	switch v := v.(type) {
	case *ast.StringNode:
		if value, ok = v.Value, kind == Text || kind == Duration || kind == Size; ok {
			return value, true
		}
	case *ast.LiteralNode:
		if kind == Text {
			return strings.TrimSpace(v.Value.Value), true
		}
	case *ast.BoolNode:
		if kind == Bool {
			return fmt.Sprint(v.Value), true
		}
	case *ast.IntegerNode:
		if kind == Integer || kind == Number || kind == Duration || kind == Size {
			return v.Token.Value, true
		}
	case *ast.FloatNode:
		if kind == Number {
			return v.Token.Value, true
		}
	case *ast.NullNode:
		d.wrong(v.GetToken(), "%s has no value", name).hint = "without the line the default holds"
		return "", false
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.wrong(v.GetToken(), "%s: anchors, aliases and tags are not taken here", name).hint = "write the value itself; text that begins with &, * or ! stands in quotes"
		return "", false
	}
	e := d.wrong(begin(v), "%s: want %s", name, want[kind])
	switch v.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		if section := name + "-" + begin(v).Value; known(d.keys, section) {
			e.hint = fmt.Sprintf("there are no sections: did you mean %s?", section)
		} else if kind == Text {
			e.hint = "text that YAML takes for something else stands in quotes"
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NanNode, *ast.InfinityNode:
		if kind == Text {
			e.hint = "text that YAML takes for something else stands in quotes"
		}
	}
	return "", false
}

// begin returns the token that a value begins with: the library's of a mapping is its first colon.
func begin(v ast.Node) *token.Token {
	switch v := v.(type) {
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return v.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return v.Key.GetToken()
	}
	return v.GetToken()
}

func known(keys []Key, name string) bool {
	_, ok := find(keys, name)
	return ok
}

func find(keys []Key, name string) (Key, bool) {
	for _, k := range keys {
		if k.Name == name {
			return k, true
		}
	}
	return Key{}, false
}

// Suggest returns a question after the key that somebody may have meant, "" when none is near.
func Suggest(keys []Key, name string) string {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if utf8.RuneCountInString(name) > 64 {
		return ""
	}
	best, near := "", max(2, utf8.RuneCountInString(name)/3)+1
	for _, k := range keys {
		if d := distance(name, k.Name); d < near || d == near && best == "" && strings.HasPrefix(k.Name, name) {
			best, near = k.Name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s?", best)
}

// distance is how many runes must be put in, taken out or changed to make b of a (Levenshtein).
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range from {
		corner := row[0]
		row[0] = i + 1
		for j, s := range to {
			change := corner
			if r != s {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
