package rules

import (
	"context"
	"io"
	"os"
	"time"

	"ipq/internal/wire"
)

// queuesPath is the list of the queues that are bound in the network namespace of the thread.
const queuesPath = "/proc/thread-self/net/netfilter/nfnetlink_queue"

const (
	patience = time.Second          // how long Remove waits for empty queues
	interval = 2 * time.Millisecond // between two looks
)

// drain waits until all queues of the namespace have been seen empty twice in a row: another CPU may have been in a rule, on
// its way to a queue, when the rules were replaced. It returns how many packets wait when ctx ends or patience is over.
func (t *Table) drain(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for empty := 0; ; {
		n, err := t.waiting()
		if err == nil && n == 0 {
			if empty++; empty == 2 {
				return 0
			}
		} else {
			empty = 0
		}
		select {
		case <-ctx.Done():
			return n
		case <-tick.C:
		}
	}
}

// waiting is the number of packets in all queues of the namespace.
func (t *Table) waiting() (int, error) {
	if t.queues == nil {
		return 0, os.ErrNotExist
	}
	// Read from the start each time: the kernel makes the list anew.
	b, err := io.ReadAll(io.NewSectionReader(t.queues, 0, 1<<20))
	if err != nil {
		return 0, err
	}
	queues, err := wire.ParseQueueTable(b)
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, q := range queues {
		sum += int(q.Waiting)
	}
	return sum, nil
}
