package filter

import (
	"fmt"
	"strconv"
	"strings"
)

// kind is what a token is.
type kind uint8

const (
	end    kind = iota
	symbol      // an operator or a bracket: text says which, "&&", "||" and "!" as "and", "or", "not"
	word        // a name: keyword or not
	quoted      // a name behind a backslash: never a keyword
	digits      // a number: v has its value
	dotted      // two to four numbers between dots
	colons      // an IPv6 address
	mac         // an Ethernet address
)

// A token is a piece of an expression.
type token struct {
	kind kind
	at   int // offset
	text string
	v    uint32
}

// is reports whether the token is this symbol or keyword.
func (t token) is(text string) bool {
	return (t.kind == symbol || t.kind == word) && t.text == text
}

// String is how messages name the token.
func (t token) String() string {
	if t.kind == end {
		return "the end"
	}
	return strconv.Quote(t.text)
}

// lex cuts an expression into tokens, the last of kind end. As in tcpdump, the longest piece that
// is something wins: "6000-6008" and "len-20" are names.
func lex(text string) ([]token, error) {
	var tokens []token
	for at := 0; ; {
		for at < len(text) && strings.IndexByte(" \t\r\n", text[at]) >= 0 {
			at++
		}
		if at == len(text) {
			return append(tokens, token{kind: end, at: at}), nil
		}
		t, n, err := next(text, at)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		at += n
	}
}

// next returns the token at an offset and how many bytes it takes.
func next(text string, at int) (token, int, error) {
	rest := text[at:]
	fail := func(format string, args ...any) (token, int, error) {
		return token{}, 0, &Error{text, at, fmt.Sprintf(format, args...)}
	}
	for _, s := range []struct{ text, means string }{
		{"&&", "and"}, {"||", "or"}, {"<<", "<<"}, {">>", ">>"}, {"<=", "<="}, {">=", ">="}, {"==", "="}, {"!=", "!="},
	} {
		if strings.HasPrefix(rest, s.text) {
			return token{kind: symbol, at: at, text: s.means}, 2, nil
		}
	}
	c := rest[0]
	if c == '\\' {
		n := 1
		for n < len(rest) && strings.IndexByte(" !()\t\r\n", rest[n]) < 0 {
			n++
		}
		if n == 1 {
			return fail("a name is missing behind the backslash")
		}
		return token{kind: quoted, at: at, text: rest[1:n]}, n, nil
	}
	best := token{at: at}
	take := func(k kind, n int) {
		if n > len(best.text) {
			best.kind, best.text = k, rest[:n]
		}
	}
	// In the order in which equally long ones win.
	take(mac, macLen(rest))
	take(digits, numberLen(rest))
	take(dotted, dottedLen(rest))
	take(colons, colonsLen(rest))
	take(word, wordLen(rest))
	switch {
	case best.kind == digits:
		v, err := strconv.ParseUint(best.text, 0, 32) // decimal, 0x…, 0… as in C
		if err != nil {
			if e := err.(*strconv.NumError); e.Err == strconv.ErrRange {
				return fail("number %s does not fit in 32 bits", best.text)
			}
			return fail("number %s: a leading 0 means octal, as in C", best.text)
		}
		best.v = uint32(v)
	case best.kind != end:
	case c == '!':
		return token{kind: symbol, at: at, text: "not"}, 1, nil
	case strings.IndexByte("()[]:+-*/%&|^<>=", c) >= 0:
		return token{kind: symbol, at: at, text: rest[:1]}, 1, nil
	default:
		r := []rune(rest)[0]
		return fail("unexpected character %q", r)
	}
	return best, len(best.text), nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isAlnum(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }

// span returns how many bytes at the start of s are of a kind.
func span(s string, of func(byte) bool) int {
	n := 0
	for n < len(s) && of(s[n]) {
		n++
	}
	return n
}

func numberLen(s string) int {
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		if n := span(s[2:], isHex); n > 0 {
			return 2 + n
		}
	}
	return span(s, isDigit)
}

// wordLen is the length of a name: letters, digits, and dots, dashes and low lines between them; a
// dot may end it.
func wordLen(s string) int {
	if s == "" || !isAlnum(s[0]) {
		return 0
	}
	n := span(s, func(c byte) bool { return isAlnum(c) || c == '.' || c == '-' || c == '_' })
	for !isAlnum(s[n-1]) && s[n-1] != '.' {
		n--
	}
	return n
}

func dottedLen(s string) int {
	n, parts := span(s, isDigit), 1
	for n > 0 && parts < 4 && n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) {
		n += 1 + span(s[n+1:], isDigit)
		parts++
	}
	if parts < 2 {
		return 0
	}
	return n
}

// macLen is the length of an Ethernet address: six bytes between colons, dots or dashes, three
// words between dots, or twelve digits.
func macLen(s string) int {
	group := func(n, max int) int { return min(span(s[n:], isHex), max) }
	for _, form := range []struct {
		groups, least, most int
		separators          string
	}{{6, 1, 2, ":"}, {6, 1, 2, "."}, {6, 1, 2, "-"}, {3, 4, 4, "."}, {1, 12, 12, " "}} {
		n, groups := 0, 0
		for {
			g := group(n, form.most)
			if g < form.least {
				break
			}
			n += g
			if groups++; groups == form.groups {
				return n
			}
			if n == len(s) || s[n] != form.separators[0] {
				break
			}
			n++
		}
	}
	return 0
}

// colonsLen is the length of what is written like an IPv6 address: eight groups or "::", and maybe
// an IPv4 address at the end.
func colonsLen(s string) int {
	n := span(s, func(c byte) bool { return isHex(c) || c == ':' })
	if n < len(s) && s[n] == '.' { // the last group is the first number of an IPv4 address
		start := strings.LastIndexByte(s[:n], ':') + 1
		if d := dottedLen(s[start:]); d > 0 {
			n = start + d
		}
	}
	if !strings.Contains(s[:n], "::") && strings.Count(s[:n], ":") < 6 {
		return 0
	}
	return n
}
