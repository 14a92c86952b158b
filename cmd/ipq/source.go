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

	paused uint64 // what the rules had counted when they were paused
	looked struct {
		at     time.Time
		unseen uint64 // then, of all
	}
}

// lossCount is how many packets were lost, by cause.
type lossCount struct {
	queue, buffer uint32 // dropped by the kernel
	flushed       uint64 // dropped by the kernel while they waited: so many at least
	unseen        uint64 // passed unseen
	stopped       uint64 // the same, while the rules were paused
}

// watchLength is how many packets may wait for watch in a queue that its own rules feed. The more, the longer a burst of
// which none passes unseen; but so many are held when this process is stopped by what it cannot catch.
// docs/adr/0001 has what was measured.
const watchLength = 256

// A queue that other rules feed is longer than its socket's buffer can hold messages, so that what overflows is the buffer:
// that loss is counted for the socket, where every user may read it, and the other only in a table that is root's.
const (
	watchBuffer   = 4 << 20 // bytes; the kernel doubles them
	leastMessage  = 512     // bytes that the kernel accounts for a message, at the very least
	outsideBuffer = 4096    // packets that are received and not answered yet: far fewer
)

// openSource opens the queues, and then feeds them where that is for us to do: the queue is then of that length.
func openSource(f *filter.Filter, o watchOptions, length uint32) (*source, error) {
	c := ipq.Config{
		Flags:   ipq.FlagGSO, // nothing is changed, and the kernel need not cut what it can send whole
		Default: ipq.Accept,
		MaxLen:  length,
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

// String names the queues, and what the keys of a terminal do.
func (s *source) String() string {
	queues := s.group.Queues()
	first, last := queues[0].Number(), queues[len(queues)-1].Number()
	switch {
	case s.table != nil:
		return fmt.Sprintf("queue %d; Ctrl-C ends", first)
	case first == last:
		return fmt.Sprintf("queue %d; Ctrl-C ends, Ctrl-Z does nothing", first)
	}
	return fmt.Sprintf("queues %d-%d; Ctrl-C ends, Ctrl-Z does nothing", first, last)
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
// A packet is counted by the rule, waits, and is received: the counts are read in that order, so that one that comes
// meanwhile is in a later count and not in the earlier one.
func (s *source) losses() (c lossCount) {
	var queued, passed uint64
	if s.table != nil {
		queued, _ = s.table.Queued() // 0 shows nothing
	}
	known := true
	for _, q := range s.group.Queues() {
		kernel := q.Stats().Kernel
		stats := q.Stats()
		c.flushed += stats.Gone
		if kernel == nil {
			known = false
			c.buffer += uint32(stats.SocketDrops) // a queue that is not ours drops nothing else: see watchBuffer
			continue
		}
		c.queue += kernel.QueueDropped
		c.buffer += kernel.UserDropped
		// A packet that waits may have been received: counted twice, it makes the loss lower.
		passed += uint64(kernel.Waiting) + stats.Received
	}
	passed += uint64(c.queue) + uint64(c.buffer)
	if known && queued > passed {
		c.unseen = queued - passed
	}
	return c
}

// since returns what was lost since it was called last. What the kernel flushed while it waited in the socket looks unseen
// until it is received: unless the source was settled, a packet is unseen when it was so a while ago, too.
func (s *source) since(settled bool) lossCount {
	now := s.losses()
	unseen := now.unseen
	if !settled {
		unseen = s.seen.unseen
		if at := time.Now(); at.Sub(s.looked.at) >= lookAgain {
			unseen = min(now.unseen, s.looked.unseen)
			s.looked.at, s.looked.unseen = at, now.unseen
		}
	}
	d := lossCount{
		queue: now.queue - s.seen.queue, buffer: now.buffer - s.seen.buffer, flushed: now.flushed - s.seen.flushed,
		unseen: unseen - min(s.seen.unseen, unseen),
	}
	now.unseen = max(unseen, s.seen.unseen)
	s.seen = now
	return d
}

// lookAgain is how far apart two looks at what is unseen are at least.
const lookAgain = 500 * time.Millisecond

// rest returns, when the queues are closed, what passed unseen and has not been shown: what our rules queued and nobody
// received, and what was answered when nobody looked any more. Known is false when the kernel did not tell all.
func (s *source) rest() (c lossCount, known bool) {
	var received, unseen, flushed uint64
	for _, q := range s.group.Queues() {
		stats := q.Stats()
		received += stats.Received
		unseen += stats.Defaulted
		flushed += stats.Gone
	}
	known = (!s.cut || s.table != nil) && flushed == 0
	if s.table != nil {
		queued, err := s.table.Queued()
		if passed := received + uint64(s.seen.queue) + uint64(s.seen.buffer); err == nil && queued > passed {
			unseen += queued - passed
		}
		known = known && err == nil
	}
	c.unseen = unseen - min(s.seen.unseen, unseen)
	c.flushed = flushed - s.seen.flushed
	return c, known
}

// pause has what our rules would queue pass, and waits until what is queued has been answered, or ctx ends. It is for
// a source with rules.
func (s *source) pause(ctx context.Context) error {
	if err := s.table.Pause(); err != nil {
		return err
	}
	s.paused, _ = s.table.Queued()
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	before := ^uint64(0)
	for received, waiting := s.arrivals(); waiting != 0 || received != before; received, waiting = s.arrivals() {
		before = received
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(quiet):
		}
	}
	return nil
}

const (
	settleTimeout = time.Second           // bounds pause: what is left then waits until resume
	quiet         = 20 * time.Millisecond // without an arrival, and nothing is on its way from the rules
)

// arrivals returns how many packets were received, and how many of them, or where the kernel's table can be read of all,
// have not been answered.
func (s *source) arrivals() (received, waiting uint64) {
	for _, q := range s.group.Queues() {
		stats := q.Stats()
		received += stats.Received
		waiting += uint64(stats.Open)
		if stats.Kernel != nil {
			waiting += uint64(stats.Kernel.Waiting)
		}
	}
	return received, waiting
}

// resume has our rules queue again, and returns what was lost since pause.
func (s *source) resume() (lossCount, error) {
	var passed uint64
	if queued, err := s.table.Queued(); err == nil && queued > s.paused {
		passed = queued - s.paused
	}
	s.seen.unseen += passed
	err := s.table.Resume()
	c := s.since(true)
	c.stopped, c.unseen = passed+c.unseen, 0 // the latter while the rules were replaced
	return c, err
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
