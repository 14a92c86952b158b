package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func newDoctorCommand() *cobra.Command {
	var out format
	var inside bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "can this machine queue packets, and what has to change?",
		Long: `Tries what ipq needs, as this user, and says of each thing whether it works:

  ok    it works
  note  ipq watch works without it
  FAIL  ipq watch does not work without it

and of what does not, the one thing to do about it. No packet is touched.

It also shows whether the ip_queue service runs (at IPQ_SOCKET, or its usual
place), every queue with what is wrong with it, and every rule that sends
packets to a queue that no program reads: see "ipq ps --help". Of each process
that owns a queue, and so looks at strangers' packets, it says what that may
still do: its capabilities, and whether it has no_new_privs and a seccomp
filter.`,
		Annotations: map[string]string{exitKey: "0 when ipq watch would work here, 2 when it would not; 1 when doctor itself\nfailed; 64 for bad usage."},
		Example: `# Why does ipq watch not work?
ipq doctor
# For a program that sets up machines
ipq doctor -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if inside {
				f, err := probeInside()
				if err != nil {
					return unableError(err)
				}
				return writeJSON(cmd.OutOrStdout(), f)
			}
			r := examine(cmd.Context())
			var err error
			if out == formatJSON {
				err = writeJSON(cmd.OutOrStdout(), r)
			} else {
				err = r.print(cmd.OutOrStdout())
			}
			if err == nil && !r.Watch {
				err = exitWith(exitUnable)
			}
			return err
		},
	}
	addFormatFlag(cmd, &out)
	cmd.Flags().BoolVar(&inside, insideFlag, false, "")
	cmd.Flags().MarkHidden(insideFlag)
	return cmd
}

// print writes the report for a person.
func (r report) print(w io.Writer) error {
	width := 0
	for _, c := range r.Checks {
		width = max(width, len(c.Name))
	}
	color := colors(w)
	var failed int
	for _, c := range r.Checks {
		state := c.State
		if state == stateFail {
			state = "FAIL"
			failed++
		}
		fmt.Fprintf(w, "%s  %-*s  %s\n", color(c.State, fmt.Sprintf("%-4s", state)), width, c.Name, printable(c.Finding))
		if c.Fix != "" {
			fmt.Fprintf(w, "%s  fix: %s\n", strings.Repeat(" ", 4+2+width), printable(c.Fix))
		}
	}
	conclusion := "ipq watch works here."
	if !r.Watch {
		conclusion = fmt.Sprintf("ipq watch does not work here: %d of %d checks failed.", failed, len(r.Checks))
	}
	_, err := fmt.Fprintln(w, conclusion)
	return err
}

// colors returns a function that colours a text by the state of its check, if w
// is a terminal and its user wants that.
func colors(w io.Writer) func(state, text string) string {
	if o, ok := w.(*output); ok {
		w = o.w
	}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return func(_, text string) string { return text }
	}
	code := map[string]string{stateOK: "32", stateNote: "33", stateFail: "31"}
	return func(state, text string) string { return "\x1b[" + code[state] + "m" + text + "\x1b[0m" }
}
