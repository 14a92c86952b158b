package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

// benchOptions are what the flags of bench say.
type benchOptions struct {
	format format
	time   time.Duration
	worker string // what this process does for another one that measures; usually nothing
}

// leastBenchTime lets every measurement see enough packets to mean something.
const leastBenchTime = time.Second

func newBenchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure how fast this machine queues packets",
		Long: `Measures, in a private network as ipq try makes one, what it costs this machine
to pass packets through a queue to ipq's library and back. No privilege is
needed. It measures one thing after the other, in rounds; each figure is the
median of all rounds:

  drain       Small packets wait in the queue and are then accepted: the CPU
              time that each takes, and how many pass in a second.
  flood       One core sends small packets as fast as it can: how many pass in a
              second, and how many are lost because the queue, or its buffer, is
              full.
  round trip  One packet at a time goes to a program on the same core, which
              sends it back: what half of them take at most (median), and 90 and
              99 of 100. On its way there it is queued: with the reader on the
              same core, asleep on another, or looking for packets without a
              pause (BusyPoll) on another.
  TCP         One connection, with Reno's congestion control, over a link with
              an MTU of 1500 bytes: what it carries. What arrives is queued in
              trains, as long as the kernel makes them (GSO).

Round trip and TCP are measured without a queue, too. The reader accepts every
packet without looking at it: what your program does comes on top. Other load
on the machine shows in the figures: let it rest. The buffer of an ordinary
user's queue is at most net.core.rmem_max, and when it is small, more is lost.`,
		Example: `# What does it cost to queue packets here?
ipq bench
# More exactly
ipq bench --time 2m
# One JSON object
ipq bench -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.worker != "" {
				return benchWork(cmd.OutOrStdout(), o.worker, o.time)
			}
			if o.time < leastBenchTime {
				return usageError(errors.New("--time: less than a second measures nothing (see ipq bench --help)"))
			}
			return bench(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	addFormatFlag(cmd, &o.format)
	cmd.Flags().DurationVar(&o.time, "time", 12*time.Second, "measure for about `TIME`, such as 30s or 2m")
	cmd.Flags().StringVar(&o.worker, workerFlag, "", "")
	cmd.Flags().MarkHidden(workerFlag)
	return cmd
}

// workerFlag makes bench work on the sockets that it was started with, and nothing else.
const workerFlag = "worker"
