package filter

import (
	"errors"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/weirnet/weir/packet"
)

var update = flag.Bool("update", false, "rewrite golden files")

// An errorCase is an expression that is wrong, for a link type, and how that is told.
type errorCase struct {
	link       packet.LinkType
	expr, want string
}

// readErrors returns the cases of testdata/errors.txt. They are three lines each, with an empty one
// between them: the expression, the caret, the message. "@N " before the expression is a link type other
// than Ethernet, and no part of it.
func readErrors(t testing.TB) []errorCase {
	t.Helper()
	text, err := os.ReadFile("testdata/errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []errorCase
	for block := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n\n") {
		c := errorCase{packet.LinkEthernet, "", block}
		c.expr, _, _ = strings.Cut(block, "\n")
		if number, expr, ok := strings.Cut(c.expr, " "); ok && strings.HasPrefix(number, "@") {
			n, err := strconv.Atoi(number[1:])
			if err != nil {
				t.Fatal(err)
			}
			c.link, c.expr = packet.LinkType(n), expr
		}
		all = append(all, c)
	}
	return all
}

func TestErrors(t *testing.T) {
	var got []string
	for _, c := range readErrors(t) {
		_, err := Compile(c.expr, c.link, 0)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: error %v, want an *Error", c.expr, err)
			continue
		}
		prefix, blanks := "", ""
		if c.link != packet.LinkEthernet {
			prefix = "@" + strconv.Itoa(int(c.link)) + " "
			blanks = strings.Repeat(" ", len(prefix))
		}
		is := prefix + strings.Replace(e.Pointer(), "\n", "\n"+blanks, 1) + "\n" + e.Error()
		if got = append(got, is); is != c.want && !*update {
			t.Errorf("got\n%s\nwant\n%s", is, c.want)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/errors.txt", []byte(strings.Join(got, "\n\n")+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPointerShowsNoControlCharacters(t *testing.T) {
	_, err := Parse("tcp\tport\x1b[2J é ü 80 x")
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	if want := "tcp port [2J é ü 80 x\n        ^"; e.Pointer() != want {
		t.Errorf("got\n%s\nwant\n%s", e.Pointer(), want)
	}
}

func TestPointerShowsWhereAlone(t *testing.T) {
	_, err := Parse(strings.Repeat("ip or ", 5000) + "x" + strings.Repeat(" or ip", 5000))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	expr, caret, _ := strings.Cut(e.Pointer(), "\n")
	shown := []rune(expr)
	if len(shown) != 2*aside+2 || shown[0] != '…' || shown[len(shown)-1] != '…' {
		t.Errorf("%d characters are shown: %s", len(shown), expr)
	}
	if at := len(caret) - 1; shown[at] != 'x' {
		t.Errorf("the caret is below %q", shown[at])
	}
}
