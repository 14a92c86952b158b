package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "say what a command is for, and how to use it",
		Example: "ipq help watch",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) != 0 {
				return usageError(fmt.Errorf("there is no command %q (see ipq --help)", strings.Join(args, " ")))
			}
			help(about, nil)
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// helpWidth is the width of a terminal that was not made wider.
const helpWidth = 80

// help prints what a person wants first: what it is for, and examples.
func help(cmd *cobra.Command, _ []string) {
	cmd.InitDefaultHelpFlag() // as cobra does only for a command that it executes
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s: %s\n", cmd.CommandPath(), cmd.Short)
	if cmd.Example != "" {
		fmt.Fprintln(w, "\nExamples:")
		for _, e := range examples(cmd) {
			if e.says != "" {
				fmt.Fprintf(w, "  %s\n", e.says)
			}
			fmt.Fprintf(w, "      %s\n", e.command)
		}
	}
	if cmd.Runnable() {
		fmt.Fprintf(w, "\nUsage:\n  %s\n", usageLine(cmd))
	}
	if cmd.Long != "" {
		fmt.Fprintf(w, "\n%s\n", cmd.Long)
	}
	for _, g := range cmd.Groups() {
		fmt.Fprintf(w, "\n%s\n", g.Title)
		list(w, cmd, func(c *cobra.Command) bool { return c.GroupID == g.ID })
	}
	if len(cmd.Groups()) == 0 && cmd.HasAvailableSubCommands() {
		fmt.Fprintln(w, "\nCommands:")
		list(w, cmd, func(c *cobra.Command) bool { return true })
	}
	if cmd.HasAvailableLocalFlags() {
		fmt.Fprintf(w, "\nFlags:\n%s", cmd.LocalFlags().FlagUsagesWrapped(helpWidth))
	}
	if _, own := cmd.Annotations[exitKey]; own || !cmd.HasParent() {
		fmt.Fprintf(w, "\nExit status:\n  %s\n", strings.ReplaceAll(exitStatuses(cmd), "\n", "\n  "))
	}
	if !cmd.HasParent() {
		fmt.Fprintf(w, "\nMore about one of them: ipq COMMAND --help\n")
	}
}

func list(w io.Writer, cmd *cobra.Command, in func(*cobra.Command) bool) {
	for _, c := range cmd.Commands() {
		if in(c) && (c.IsAvailableCommand() || c.Name() == "help") {
			fmt.Fprintf(w, "  %-12s %s\n", c.Name(), c.Short)
		}
	}
}

// example is one command and the comment before it.
type example struct{ says, command string }

func examples(cmd *cobra.Command) []example {
	var list []example
	var says string
	for line := range strings.SplitSeq(cmd.Example, "\n") {
		line = strings.TrimSpace(line)
		if c, ok := strings.CutPrefix(line, "# "); ok {
			says = c
			continue
		}
		if line != "" {
			list = append(list, example{says, line})
			says = ""
		}
	}
	return list
}

// usageLine is the synopsis of a command.
func usageLine(cmd *cobra.Command) string {
	use := cmd.Use
	if cmd.HasParent() {
		use = cmd.Parent().CommandPath() + " " + use
	}
	if cmd.HasAvailableLocalFlags() && !strings.Contains(use, "[flags]") {
		name := cmd.CommandPath()
		use = name + " [flags]" + strings.TrimPrefix(use, name)
	}
	return use
}
