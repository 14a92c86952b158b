package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newManCommand writes the man pages, for whoever installs the program. They
// are made from the same texts as the help.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "write the manual pages to a directory",
		Long: `Writes ipq.1, and a page for each command, such as ipq-watch.1. They say what
--help says. The directory is made if it is missing.`,
		Example: `# Install them: then "man ipq" and "man ipq-watch" work
ipq man /usr/local/share/man/man1
# Read one without installing it
ipq man /tmp/ipq-man && man /tmp/ipq-man/ipq-watch.1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("one directory to write to is needed, such as /usr/local/share/man/man1")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			for _, c := range append([]*cobra.Command{cmd.Root()}, pages(cmd.Root())...) {
				file := filepath.Join(args[0], manName(c)+".1")
				if err := os.WriteFile(file, []byte(manPage(c)), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// pages are the commands that have a page of their own.
func pages(root *cobra.Command) []*cobra.Command {
	var list []*cobra.Command
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			list = append(list, c)
		}
	}
	return list
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is the page of a command, in the man macros of troff.
func manPage(cmd *cobra.Command) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	name := manName(cmd)
	line(`.TH %s 1 "" "ipq" "User Commands"`, strings.ToUpper(name))
	line(".SH NAME\n%s \\- %s", roff(name), roff(cmd.Short))
	line(".SH SYNOPSIS")
	if cmd.Runnable() {
		line(".B %s", roff(usageLine(cmd)))
	} else {
		line(".B %s\n.I COMMAND\n[\\fIARGUMENT\\fR...]", roff(name))
	}
	if cmd.Long != "" {
		line(".SH DESCRIPTION\n%s", paragraphs(cmd.Long))
	}
	if !cmd.HasParent() {
		line(".SH COMMANDS")
		for _, c := range pages(cmd) {
			line(".TP\n.BR %s (1)\n%s", roff(manName(c)), roff(c.Short))
		}
	}
	if cmd.HasAvailableLocalFlags() {
		line(".SH OPTIONS")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				line(".TP\n%s", option(f))
			}
		})
	}
	if cmd.Example != "" {
		line(".SH EXAMPLES")
		for _, e := range examples(cmd) {
			if e.says != "" {
				line(".PP\n%s\n.PP", roff(e.says))
			}
			line(".RS 4\n.nf\n%s\n.fi\n.RE", roff(e.command))
		}
	}
	line(".SH EXIT STATUS\n%s", paragraphs(exitStatuses(cmd)))
	line(".SH SEE ALSO")
	if cmd.HasParent() {
		line(".BR ipq (1)")
	} else {
		line(".BR nft (8),\n.BR iptables-extensions (8)")
	}
	return b.String()
}

// option is the entry of a flag.
func option(f *pflag.Flag) string {
	var b strings.Builder
	if f.Shorthand != "" {
		fmt.Fprintf(&b, `\fB\-%s\fR, `, f.Shorthand)
	}
	value, usage := pflag.UnquoteUsage(f)
	fmt.Fprintf(&b, `\fB\-\-%s\fR`, roff(f.Name))
	if value != "" {
		fmt.Fprintf(&b, ` \fI%s\fR`, roff(value))
	}
	switch f.DefValue {
	case "", "0", "false":
	default:
		usage += " (default " + f.DefValue + ")"
	}
	return b.String() + "\n" + roff(usage)
}

// paragraphs sets a text: blank lines part paragraphs, indented lines stay as
// they are.
func paragraphs(text string) string {
	var b strings.Builder
	verbatim := false
	for line := range strings.SplitSeq(text, "\n") {
		if indented := strings.HasPrefix(line, " "); indented != verbatim {
			verbatim = indented
			b.WriteString(map[bool]string{true: ".PP\n.nf\n", false: ".fi\n.PP\n"}[verbatim])
		}
		if line == "" {
			line = ".PP"
		} else {
			line = roff(line)
		}
		b.WriteString(line + "\n")
	}
	if verbatim {
		b.WriteString(".fi\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// roff escapes a text for troff.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
