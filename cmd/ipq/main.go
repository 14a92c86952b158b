// Ipq shows and decides packets in the kernel's own queue. See "ipq --help".
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// verbs are the commands, by what one wants; the help lists them in this order.
var verbs = []struct {
	intent   string
	commands []func() *cobra.Command
}{
	{"See it work", []func() *cobra.Command{newTryCommand, newDoctorCommand, newBenchCommand}},
	{"Look at packets and queues", []func() *cobra.Command{newWatchCommand, newPsCommand}},
	{"Run programs written for ip_queue", []func() *cobra.Command{newEmulateCommand, newRunCommand}},
	{"About this program", []func() *cobra.Command{newVersionCommand, newManCommand, newCompletionCommand}},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), endSignals()...)
	// A later signal ends a command that does not come to its end. One that follows at once is the same wish: timeout(1)
	// signals its command, and then the command's group.
	context.AfterFunc(ctx, func() { time.AfterFunc(oneWish, stop) })
	noticeBrokenPipe()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr)) // with the signals still caught: one more of the same wish may come
}

// oneWish is how long signals after the first one are the same wish to end.
const oneWish = time.Second

// endSignals have a command end in order: an interrupt, a wish of another program, and the end of the terminal, unless
// nohup(1) or the like has this process ignore that.
func endSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// run executes the command line and returns the exit status. When ctx ends the
// command ends what it does in order, and has done it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &output{w: stdout, gone: cancel}
	root.SetArgs(args)
	root.SetOut(out)
	stderr = &messages{w: stderr}
	root.SetErr(stderr)
	// Up to here every error is about the command line.
	started := false
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		err = usageError(fmt.Errorf("%w (%s)", err, hint(cmd, args)))
	}
	if err == nil {
		err = out.failure()
	}
	status, message := outcome(err)
	if message != "" {
		fmt.Fprintln(stderr, "ipq: "+message)
	}
	return status
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "ipq",
		Short: "show and decide packets in the kernel's own queue",
		Long: `A firewall rule can send packets to a queue in the kernel, where a program
decides what becomes of each: it goes on, it is dropped, or it goes on changed.`,
		Example: `# See it work, with no privilege and at no risk
ipq try
# Can this machine do it? What has to change?
ipq doctor
# Watch packets as they pass
ipq watch -n tcp port 80
# Who owns which queue, and what was lost
ipq ps`,
		SilenceErrors: true,
		SilenceUsage:  true,

		DisableSuggestions:         true, // hint makes them
		SuggestionsMinimumDistance: 2,
	}
	root.Version = readVersion().String()
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "print which version this is")
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(help)
	root.SetUsageFunc(func(cmd *cobra.Command) error { help(cmd, nil); return nil })
	cobra.EnableCommandSorting = false // they are in the order of verbs
	for _, group := range verbs {
		root.AddGroup(&cobra.Group{ID: group.intent, Title: group.intent + ":"})
		for _, command := range group.commands {
			cmd := command()
			cmd.GroupID = group.intent
			root.AddCommand(cmd)
		}
	}
	root.CompletionOptions.DisableDefaultCmd = true // we have our own
	root.SetHelpCommand(newHelpCommand())
	root.SetHelpCommandGroupID(verbs[len(verbs)-1].intent)
	return root
}
