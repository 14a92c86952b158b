package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that a completion script can be made for, and what makes it.
var shells = []struct {
	name string
	gen  func(root *cobra.Command, w io.Writer) error
}{
	{"bash", func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) }},
	{"zsh", (*cobra.Command).GenZshCompletion},
	{"fish", func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) }},
	{"powershell", (*cobra.Command).GenPowerShellCompletionWithDesc},
}

func newCompletionCommand() *cobra.Command {
	var names []string
	for _, s := range shells {
		names = append(names, s.name)
	}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "print what makes a shell complete ipq's commands and flags",
		Long: `Prints a script for bash, zsh, fish or powershell. The shell reads it when it
starts, or at once by its command "source". For bash, the package
bash-completion has to be installed.`,
		Example: `# This shell only
source <(ipq completion bash)
# Every new shell
ipq completion bash >/etc/bash_completion.d/ipq
ipq completion zsh >"${fpath[1]}/_ipq"
ipq completion fish >~/.config/fish/completions/ipq.fish
ipq completion powershell >>$PROFILE`,
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(names, args[0]) {
				return fmt.Errorf("which shell? One of %s", strings.Join(names, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return shells[slices.Index(names, args[0])].gen(cmd.Root(), cmd.OutOrStdout())
		},
	}
}
