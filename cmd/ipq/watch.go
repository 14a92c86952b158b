package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ipq/internal/filter"
	"ipq/internal/privilege"
	"ipq/rules"
)

// watchOptions are what the flags of watch say.
type watchOptions struct {
	format  format
	count   uint64
	numeric bool
	verbose bool
	hex     bool
	stamp   int
	queues  queueRange
	explain bool
}

func newWatchCommand() *cobra.Command {
	var o watchOptions
	var queue uint16
	cmd := &cobra.Command{
		Use:   "watch [flags] [FILTER]",
		Short: "show packets as they pass, one line each",
		Long: `Installs rules of its own that queue the packets the filter asks for, accepts
each at once, and shows it. Each packet is shown once, whichever way it goes:
where it arrives, or where this host sends it. The filter is tcpdump's
language:

  ip ip6 tcp udp icmp icmp6, [src|dst] host A, [src|dst] net P,
  [src|dst] port N, [src|dst] portrange A-B, and, or, not, ( )

Watching does no harm. Packets that come faster than they can be looked at pass
unseen, and are counted as lost. Ctrl-Z stops ipq, and fg or bg has it go on:
the packets that pass meanwhile are not queued, only counted, and shown as
lost. SIGSTOP, a debugger and a frozen control group stop ipq unnoticed: 256
packets then wait until it goes on, and the rest passes.

The rules are gone when ipq ends, also by SIGKILL; but the kernel drops every
packet that waits in any queue of the network namespace when a program's chains
go, so end it by Ctrl-C, SIGTERM or SIGHUP: then the rules go first, and the
chains when all queues are empty, or after a second. Output that is not read
within two seconds is then given up. A second Ctrl-C, more than a second later,
ends ipq at once.

Before it looks at anything, ipq executes itself again with no capability but
CAP_NET_ADMIN.

With --queue or --queues, ipq watches queues that your own rules feed, and
installs none. What overflows there is dropped by the kernel, and counted as
lost. If ipq were stopped, all packets of your rules would wait and then be
dropped, so Ctrl-Z does nothing here; SIGSTOP has that effect.

With -o json addresses and ports are always numbers, and -x adds the packet as
the member "hex".

The last line counts the packets shown, and those that were lost: dropped, or
passed unseen. Where the kernel does not tell how many, it says "unknown lost".`,
		Example: `# Every packet of this host
ipq watch
# Web and name service, without looking names up
ipq watch -n 'tcp port 80 or 443 or udp port 53'
# Ten packets in full
ipq watch -v -x -c 10 icmp or icmp6
# What your own rules send to queue 5
ipq watch --queue 5
# One JSON object for each packet
ipq watch -o json not port 22
# What the rules decide, and what is left to ipq
ipq watch --explain 'host 10.7.0.2 and (port 80 or icmp)'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("count") && o.count == 0 {
				return usageError(errors.New("-c 0 would show nothing: leave it out to watch until Ctrl-C"))
			}
			if o.stamp > int(stampSince) {
				return usageError(errors.New("-t can be given five times at most"))
			}
			if cmd.Flags().Changed("queue") {
				if o.queues.set {
					return usageError(errors.New("--queue and --queues name the same thing: give one"))
				}
				o.queues = queueRange{first: queue, last: queue, set: true}
			}
			if err := o.conflict(); err != nil {
				return usageError(err)
			}
			return watch(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), o, strings.Join(args, " "))
		},
	}
	flags := cmd.Flags()
	addFormatFlag(cmd, &o.format)
	flags.Uint64VarP(&o.count, "count", "c", 0, "end after `N` packets")
	flags.BoolVarP(&o.numeric, "numeric", "n", false, "addresses and ports as numbers")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "more of each packet: ttl, id, options, checksums")
	flags.BoolVarP(&o.hex, "hex", "x", false, "each packet in hex, too")
	flags.CountVarP(&o.stamp, "time", "t", "-t no time, -tt seconds since 1970, -ttt since the line before, -tttt with the date, -ttttt since the first line")
	flags.Uint16Var(&queue, "queue", 0, "watch queue `N`, which your own rules feed")
	flags.Var(&o.queues, "queues", "watch the queues `A-B`, which your own rules feed")
	flags.BoolVar(&o.explain, "explain", false, "say what the rules decide and what ipq does, and end")
	return cmd
}

// conflict is an error where one flag asks for what another rules out.
func (o *watchOptions) conflict() error {
	json := o.format == formatJSON
	switch {
	case json && o.verbose:
		return errors.New("-v is for lines of text: with -o json every object has the same members")
	case json && o.stamp != 0:
		return errors.New("-t is for lines of text: with -o json the time is always the member \"time\"")
	case json && o.explain:
		return errors.New("--explain prints text: leave -o json out")
	case o.explain && o.queues.set:
		return errors.New("--explain shows the rules that ipq would install, and with --queue or --queues it installs none: leave one of them out")
	}
	return nil
}

// queueRange is the value of the flag --queues.
type queueRange struct {
	first, last uint16
	set         bool
}

// list returns the queues, none when not set.
func (r *queueRange) list() (queues []uint16) {
	for n := int(r.first); r.set && n <= int(r.last); n++ {
		queues = append(queues, uint16(n))
	}
	return queues
}

// String returns "A-B", or nothing when not set.
func (r *queueRange) String() string {
	if !r.set {
		return ""
	}
	return fmt.Sprintf("%d-%d", r.first, r.last)
}

// Set reads "A-B" or "A".
func (r *queueRange) Set(s string) error {
	low, high, found := strings.Cut(s, "-")
	if !found {
		high = low
	}
	first, err1 := strconv.ParseUint(low, 10, 16)
	last, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil || last < first {
		return errors.New("want two numbers from 0 to 65535, the lower one first, such as 0-3")
	}
	*r = queueRange{uint16(first), uint16(last), true}
	return nil
}

// Type is what cobra calls the kind of the value.
func (r *queueRange) Type() string { return "A-B" }

func watch(ctx context.Context, w, progress io.Writer, o watchOptions, text string) error {
	f, err := filter.Parse(text)
	if err != nil {
		return usageError(err)
	}
	if o.explain {
		return explain(w, f)
	}
	if err := restrict(ctx, privilege.NetAdmin, o.queues.list()...); err != nil {
		return err
	}
	jobs := takeStops(!o.queues.set) // before a packet can wait
	defer jobs.leave()
	source, err := openSource(f, o, watchLength)
	if err != nil {
		return unableWatch(err)
	}
	wanted := ctx.Done()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	v := newStream(w, o, f, stop)
	seal(progress, 0)
	served := make(chan error, 1)
	go func() { served <- source.group.ServeEach(context.WithoutCancel(ctx), v.handler) }()
	fmt.Fprintf(progress, "watching through %s\n", source)
	err = v.watchLosses(ctx, source, jobs, served)
	if stopErr := source.stop(); errors.Is(stopErr, rules.ErrStillQueued) {
		fmt.Fprintf(progress, "ipq: %v\n", stopErr) // held by another program of this namespace
	} else {
		err = errors.Join(err, stopErr)
	}
	v.losses(source) // the counters of a queue go with it
	err = errors.Join(err, source.finish(served))
	jobs.leave()
	v.rest(source)
	return errors.Join(err, v.end(wanted))
}

// unableWatch gives errors of the machine or the user their exit status.
func unableWatch(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return unableError(fmt.Errorf("%w\nwatching needs root; \"ipq try\" does not", err))
	case errors.Is(err, errors.ErrUnsupported):
		return unableError(fmt.Errorf("%w\n\"ipq doctor\" looks at what this machine can do", err))
	}
	return err
}

// explain prints where each part of the filter is decided, and the rules.
func explain(w io.Writer, f *filter.Filter) error {
	if _, err := io.WriteString(w, f.Explain()); err != nil {
		return err
	}
	p := watchPlan(f, firstFree)
	if e, err := rules.Probe(""); err == nil {
		p.Encoding = e
	}
	_, err := fmt.Fprintf(w, "\n%s", p)
	return err
}
