package main

import "github.com/spf13/cobra"

func newTryCommand() *cobra.Command {
	var out format
	cmd := &cobra.Command{
		Use:   "try [flags] [-- COMMAND [ARGUMENT...]]",
		Short: "see packets get verdicts from the kernel's own queue, with no risk",
		Long: `Makes a private network, which nobody else sees and which is gone at the end:

  this side   10.7.0.1 and fd07::1
  a host      10.7.0.2 and fd07::2, which answers ping, HTTP on port 80, and DNS
              on port 53 (over UDP; every name is 192.0.2.7 or 2001:db8::7)

sends real packets to the host, over IPv4 and IPv6, has a rule queue them in the
kernel, decides each, and prints each as a line with its verdict: most go on, some
are dropped on purpose and do not arrive, some go on changed. It ends by itself
within seconds. No privilege is needed.

With a COMMAND, that command runs in the private network instead, every packet
between the two sides goes on, and the exit status is the command's. With -o json
what the command prints on standard output goes to standard error.

The last line counts the packets: those lost came while the queue was full.`,
		Example: `# See it work
ipq try
# Any program's packets
ipq try -- ping -c 3 10.7.0.2
ipq try -- curl http://10.7.0.2/hello
# One JSON object for each packet
ipq try -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return try(cmd.Context(), cmd.OutOrStdout(), out, args)
		},
	}
	addFormatFlag(cmd, &out)
	cmd.Flags().SetInterspersed(false) // what follows the command's name is the command's
	return cmd
}
