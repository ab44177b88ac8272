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

// Pointer returns two lines: the expression, and a caret below the place.
func (e *Error) Pointer() string {
	clean := func(text string) string {
		return strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, text)
	}
	before := clean(e.Expr[:e.Offset])
	return clean(e.Expr) + "\n" + strings.Repeat(" ", len([]rune(before))) + "^"
}
