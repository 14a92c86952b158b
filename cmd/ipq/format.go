package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// format is the value of the flag -o.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
)

// addFormatFlag gives a command the flag -o.
func addFormatFlag(cmd *cobra.Command, f *format) {
	*f = formatText
	cmd.Flags().VarP(f, "output", "o", "`FORMAT` to print: text or json")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// String returns the chosen format, "text" or "json".
func (f *format) String() string { return string(*f) }

// Set chooses a format.
func (f *format) Set(s string) error {
	switch format(s) {
	case formatText, formatJSON:
		*f = format(s)
		return nil
	}
	return fmt.Errorf("want text or json")
}

// Type is what cobra calls the kind of the value.
func (f *format) Type() string { return "text" }

// writeJSON writes a value as one line.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printable makes a name that somebody else chose safe to print: what could
// control a terminal is escaped, as in Go's strings.
func printable(s string) string {
	q := fmt.Sprintf("%+q", s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
