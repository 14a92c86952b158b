package filter

import (
	"fmt"
	"strconv"
	"strings"
)

// Error is what is wrong with a filter, and where.
type Error struct {
	Filter     string // as it was given
	Start, End int    // the bytes of Filter that are at fault; Start may be the end of it
	Message    string // one line, printable
}

// Error is the message, and below it the filter with a mark under the fault. All of it is printable ASCII: whatever else was
// in the filter is escaped.
func (e *Error) Error() string {
	before, fault, after := printable(e.Filter[:e.Start]), printable(e.Filter[e.Start:e.End]), printable(e.Filter[e.End:])
	// A line that a terminal would break would have its mark in the wrong place.
	if len(before) > lineBefore {
		before = "..." + before[len(before)-lineBefore+3:]
	}
	if len(fault) > lineFault {
		fault, after = fault[:lineFault-3]+"...", ""
	}
	if len(after) > lineAfter {
		after = after[:lineAfter-3] + "..."
	}
	mark := strings.Repeat(" ", len(before)) + strings.Repeat("^", max(1, len(fault)))
	return fmt.Sprintf("filter: %s\n  %s\n  %s", e.Message, strings.TrimRight(before+fault+after, " "), mark)
}

// How much of a line is shown, in columns.
const (
	lineBefore = 40
	lineFault  = 24
	lineAfter  = 12
)

// printable is s in printable ASCII of the same meaning, white space as spaces.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case strings.IndexByte(space, c) >= 0:
			b.WriteByte(' ')
		case c > ' ' && c <= '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

// quote is s for use in a message.
func quote(s string) string {
	if len(s) > 40 {
		s = s[:37] + "..."
	}
	return strconv.QuoteToASCII(s)
}
