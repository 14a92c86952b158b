package main

import "github.com/spf13/cobra"

func newTryCommand() *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:   "try [flags] [-- COMMAND [ARGUMENT...]]",
		Short: "see packets get verdicts from the kernel's own queue, at no risk",
		Long: `Makes a private network, which nothing else sees and which is gone at the end:

  this side   10.7.0.1 and fd07::1
  a host      10.7.0.2 and fd07::2, which answers ping, HTTP on port 80, and DNS
              on port 53 (over UDP): every name is its own, but for those that
              end in "invalid", which do not exist, and those of addresses

sends real packets to the host, over IPv4 and IPv6, has a rule queue them in
the kernel, decides each, and prints each as a line with its verdict: most go
on, some are dropped on purpose and do not arrive, some go on changed. It ends
by itself within seconds. No privilege is needed.

With a COMMAND, that command runs in the private network instead, and every
packet between the two sides goes on. Standard output is the command's alone:
the packets go to standard error, with -o json too. Programs ask the host for
names, as /etc/resolv.conf and /etc/nsswitch.conf of the sandbox have it; the
machine's own files are not touched.

The last line counts the packets: those lost came while the queue was full.`,
		Annotations: map[string]string{exitKey: exitText + `
With a COMMAND: the command's; 126 when it cannot be executed, 127 when
there is none.`},
		Example: `# See it work
ipq try
# Any program's packets
ipq try -- ping -c 3 10.7.0.2
ipq try -- curl http://www.example.com/hello
# Its output alone, and the packets in a file
ipq try -- curl -s http://10.7.0.2/hello 2>packets
# One JSON object for each packet
ipq try -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			if len(args) != 0 {
				w = cmd.ErrOrStderr() // the other is the command's
			}
			return try(cmd.Context(), w, out, args)
		},
	}
	addFormatFlag(cmd, &out)
	cmd.Flags().SetInterspersed(false) // what follows the command's name is the command's
	return cmd
}
