package filter

import (
	"fmt"
	"strings"
	"unicode"
)

// An Error is what is wrong with a filter expression, and where.
type Error struct {
	Expr    string
	Offset  int // bytes before the place in Expr
	Problem string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("filter: %s (offset %d)", e.Problem, e.Offset) }

// aside is how many characters of a long expression Pointer shows on each side of the place.
const aside = 100

// Pointer returns two lines: the expression, of a long one what is around the place, and a caret below the place.
func (e *Error) Pointer() string {
	clean := func(text string) []rune {
		return []rune(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, text))
	}
	before, after := clean(e.Expr[:e.Offset]), clean(e.Expr[e.Offset:])
	if len(before) > aside {
		before = append([]rune{'…'}, before[len(before)-aside:]...)
	}
	if len(after) > aside {
		after = append(after[:aside:aside], '…')
	}
	return string(before) + string(after) + "\n" + strings.Repeat(" ", len(before)) + "^"
}
