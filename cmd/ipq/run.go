package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"ipq/ipqueue"
)

// exitLauncher is the status of a command that executes another and failed
// itself, as env(1), nohup(1) and timeout(1) have it.
const exitLauncher = 125

func newRunCommand() *cobra.Command {
	var l launch
	cmd := &cobra.Command{
		Use:   "run [flags] PROGRAM [ARGUMENT...]",
		Short: "run a program that was written for ip_queue, as the binary it is",
		Long: `Runs a program that opens sockets of NETLINK_FIREWALL or NETLINK_IP6_FW, which
the kernel has had no use for since Linux 3.5, and gives it packets through
them as ip_queue did. The program may carry its own libipq, or use none; it may
be statically linked, and a 32-bit one. The program is not changed, and
everything else works as before: it takes the place of this command, so its
exit status, signals, terminal and children are its own. Its descendants are
served as well, for as long as one of them lives.

The packets come from the service ("ipq emulate") when one answers at --socket,
or at the usual place; else from a queue handler that is started for this
program alone, which takes queue 0 of this network namespace and needs
CAP_NET_ADMIN. Whoever can start that may use it, the program's less privileged
parts included.

Set-user-id programs and file capabilities give nothing to a program that is
run like this (no_new_privs), as an ordinary user could otherwise deceive them.
A signal that was ignored, other than SIGHUP and SIGINT, is at its default in
the program; service managers ignore SIGPIPE.

The supervisor, a process called "ipq run", and its watcher, "ipq run watcher",
ignore the signals that are meant for the program. When the supervisor is
killed, and two seconds after the service was stopped, the processes that still
have an ip_queue socket are terminated, with a line on standard error that says
why: they would get no more packets. A queue handler has at most 1,024 such
sockets, of all programs together, and for each one without a service ipq run
needs a descriptor (ulimit -Hn); one more fails with ENFILE.

A program needs to be readable by this user, and with Yama
(/proc/sys/kernel/yama/ptrace_scope above 0) an ordinary user's 32-bit programs
work only as the first process, not as a child of it. Needs Linux 5.14.

Where root starts it, the supervisor keeps only those capabilities that it
needs to queue packets, to look into programs, and to end them.`,
		Annotations: map[string]string{exitKey: `the program's; 125 when it could not be started, 126 when it cannot be
executed, 127 when there is none; 64 for bad usage.`},
		Example: `# An old binary, in place of modprobe ip_queue and the binary
ipq run ./moblock -p /etc/peerguardian.dat
# The same, with the service of another container
ipq run --socket /srv/host/ipq.sock ./moblock
# No root: in a network of its own, where all there is to queue is what it sends
ipq run --sandbox sh -c 'iptables-legacy -A OUTPUT -j QUEUE
./passer & ping -c 3 127.0.0.1; kill $!'`,
		Args: func(_ *cobra.Command, args []string) error {
			if l.supervise != (len(args) == 0) {
				return errors.New("which program?")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			l.anywhere = !cmd.Flags().Changed("socket")
			if env := os.Getenv("IPQ_SOCKET"); l.anywhere && env != "" && !l.supervise {
				l.socket, l.anywhere = env, false
			}
			if l.sandbox {
				if !l.anywhere && l.socket != "" {
					return usageError(errors.New("--sandbox has a network of its own, so no service can be used: leave --socket and IPQ_SOCKET out"))
				}
				l.socket, l.anywhere = "", false
			}
			if l.supervise {
				return l.supervisor()
			}
			return l.program(args)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows PROGRAM is for it
	flags.StringVar(&l.socket, "socket", ipqueue.DefaultSocket, "`PATH` of the service's socket; empty: have a queue handler of its own")
	flags.BoolVar(&l.sandbox, "sandbox", false, "run it in a network of its own, with no privilege")
	flags.BoolVar(&l.supervise, "supervise", false, "be the supervisor of a program")
	flags.MarkHidden("supervise")
	return cmd
}

// launch is one run of the command.
type launch struct {
	socket    string // of the service; empty: have a handler of our own
	anywhere  bool   // the socket is the usual one, and a handler of our own will do
	sandbox   bool
	supervise bool
}
