package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ipq"
	"ipq/internal/filter"
	"ipq/rules"
)

// A source is where the packets that watch shows come from: queues, and the
// rules that feed them if they are ours.
type source struct {
	group *ipq.Group
	table *rules.Table // nil where other rules feed the queues
	seen  lossCount    // losses that have been shown
	cut   bool         // queues were closed while packets waited
}

// lossCount is how many packets were lost, by cause.
type lossCount struct {
	queue, buffer uint32 // dropped by the kernel
	unseen        uint64 // passed unseen
}

// A queue that other rules feed is longer than its socket's buffer can hold messages, so that what overflows is the buffer:
// that loss is counted for the socket, where every user may read it, and the other only in a table that is root's.
const (
	watchBuffer   = 4 << 20 // bytes; the kernel doubles them
	leastMessage  = 512     // bytes that the kernel accounts for a message, at the very least
	outsideBuffer = 4096    // packets that are received and not answered yet: far fewer
)

// openSource opens the queues, and then feeds them where that is for us to do.
func openSource(f *filter.Filter, o watchOptions) (*source, error) {
	c := ipq.Config{
		Flags:   ipq.FlagGSO, // nothing is changed, and the kernel need not cut what it can send whole
		Default: ipq.Accept,
		MaxLen:  4096,
	}
	if !o.verbose && !o.hex {
		c.Range = 1024 // all headers, and names
	}
	if o.queues.set {
		c.RecvBuffer, c.MaxLen = watchBuffer, watchBuffer*2/leastMessage+outsideBuffer
		c.Queue = o.queues.first
		g, err := ipq.OpenGroup(c, o.queues.last)
		return &source{group: g}, err
	}
	c.Flags |= ipq.FlagFailOpen
	g, err := openFree(func(n uint16) (*ipq.Group, error) {
		c.Queue = n
		return ipq.OpenGroup(c, n)
	})
	if err != nil {
		return nil, err
	}
	table, err := rules.Install(watchPlan(f, g.Queues()[0].Number()))
	if err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return &source{group: g, table: table}, nil
}

// String names the queues.
func (s *source) String() string {
	queues := s.group.Queues()
	if len(queues) == 1 {
		return fmt.Sprintf("queue %d", queues[0].Number())
	}
	return fmt.Sprintf("queues %d-%d", queues[0].Number(), queues[len(queues)-1].Number())
}

// watchPlan has each packet that f may accept queued once: where it arrives,
// before all else, or where this host sends it. What it sends to itself arrives,
// and the kernel's copies of its own multicast and broadcast do not count.
func watchPlan(f *filter.Filter, queue uint16) rules.Plan {
	chain := func(h rules.Hook, except rules.Match) rules.Chain {
		c := rules.Chain{Hook: h, Priority: -300, Match: f.Rules()}
		for i := range c.Match {
			c.Match[i].Except = append(c.Match[i].Except, except)
		}
		return c
	}
	return rules.Plan{
		Target: rules.Target{Queue: queue, Bypass: true},
		Chains: []rules.Chain{
			chain(rules.Prerouting, rules.Match{LoopedBack: true}),
			chain(rules.Output, rules.Match{Out: []string{"lo"}}),
		},
	}
}

// losses counts what was lost so far. Before the end it may be too low, never too high: what is on its way at the moment
// is not lost, and where this user may not read the kernel's table, what is on its way cannot be told from what has passed.
func (s *source) losses() (c lossCount) {
	var passed uint64
	known := true
	for _, q := range s.group.Queues() {
		stats := q.Stats()
		if stats.Kernel == nil {
			known = false
			c.buffer += uint32(stats.SocketDrops) // a queue that is not ours drops nothing else: see watchBuffer
			continue
		}
		c.queue += stats.Kernel.QueueDropped
		c.buffer += stats.Kernel.UserDropped
		// A packet that waits may have been received: counted twice, it makes the loss lower.
		passed += stats.Received + uint64(stats.Kernel.Waiting)
	}
	if s.table == nil || !known {
		return c
	}
	passed += uint64(c.queue) + uint64(c.buffer)
	if queued, err := s.table.Queued(); err == nil && queued > passed {
		c.unseen = queued - passed
	}
	return c
}

// since returns what was lost since it was called last.
func (s *source) since() lossCount {
	now := s.losses()
	d := lossCount{now.queue - s.seen.queue, now.buffer - s.seen.buffer, now.unseen - min(s.seen.unseen, now.unseen)}
	now.unseen = max(now.unseen, s.seen.unseen)
	s.seen = now
	return d
}

// rest returns, when the queues are closed, what passed unseen and has not been shown: what our rules queued and nobody
// received, and what was answered when nobody looked any more. Known is false when the kernel did not tell all.
func (s *source) rest() (c lossCount, known bool) {
	var received, unseen uint64
	for _, q := range s.group.Queues() {
		stats := q.Stats()
		received += stats.Received
		unseen += stats.Defaulted
	}
	known = !s.cut || s.table != nil
	if s.table != nil {
		queued, err := s.table.Queued()
		if passed := received + uint64(s.seen.queue) + uint64(s.seen.buffer); err == nil && queued > passed {
			unseen += queued - passed
		}
		known = known && err == nil
	}
	c.unseen = unseen - min(s.seen.unseen, unseen)
	return c, known
}

// stop takes our rules out, and waits for the queues to be empty.
func (s *source) stop() error {
	if s.table == nil {
		return nil
	}
	return s.table.Remove(context.Background())
}

// finishTimeout bounds finish where packets come faster than they can be answered.
const finishTimeout = 5 * time.Second

// finish answers what waits, closes the queues, and waits for Serve to end. Rules that are not ours may go on feeding them:
// what the kernel then dropped with a queue is in no counter.
func (s *source) finish(served chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	err := s.group.Drain(ctx)
	<-served
	if errors.Is(err, context.DeadlineExceeded) {
		s.cut = true
		return nil
	}
	return err
}
