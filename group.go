package ipq

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A Group is several queues that a rule spreads packets over, each with a socket and a reader of its own.
type Group struct {
	queues []*Queue
}

// OpenGroup opens the queues from c.Queue to last, all with the configuration c. A rule that balances over them (package
// rules, or "queue num 0-3 fanout") feeds the group. One queue per core is as much as helps. It opens all of them or none;
// Config.File is refused.
func OpenGroup(c Config, last uint16) (*Group, error) {
	switch {
	case last < c.Queue:
		return nil, &OpError{Op: "open", Queue: c.Queue, Err: fmt.Errorf("the group ends (%d) before it begins", last)}
	case c.File != nil:
		c.File.Close()
		return nil, &OpError{Op: "open", Queue: c.Queue, Err: errors.New("Config.File: one descriptor cannot be the socket of several queues")}
	}
	g := new(Group)
	for n := int(c.Queue); n <= int(last); n++ {
		c.Queue = uint16(n)
		q, err := Open(c)
		if err != nil {
			return nil, errors.Join(err, g.Close())
		}
		g.queues = append(g.queues, q)
	}
	return g, nil
}

// Queues are the queues of the group, by number.
func (g *Group) Queues() []*Queue { return g.queues }

// Serve calls h for each packet of every queue. Within a queue it is Queue.Serve; calls for different queues run beside
// each other. It returns when ctx has ended, or when one queue's Serve has, after having ended the others.
func (g *Group) Serve(ctx context.Context, h Handler) error {
	return g.ServeEach(ctx, func(*Queue) Handler { return h })
}

// ServeEach is Serve with a handler for each queue, which need not be safe for concurrent use: state that belongs to a
// flow, of which all packets go to the same queue, can be kept without a lock.
func (g *Group) ServeEach(ctx context.Context, handler func(*Queue) Handler) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, q := range g.queues {
		h := handler(q)
		all.Go(func() {
			err := q.Serve(ctx, h)
			cancel(err) // the first one stays
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// SetVerdict is Queue.SetVerdict on the queue that the packet came out of.
func (g *Group) SetVerdict(id ID, v Verdict, changes ...Changes) error {
	for _, q := range g.queues {
		if q.generation == id.generation {
			return q.SetVerdict(id, v, changes...)
		}
	}
	return fmt.Errorf("set verdict: packet %v of no queue of the group: %w", id, ErrAnswered)
}

// Close closes every queue, as Queue.Close does.
func (g *Group) Close() error {
	return g.each((*Queue).Close)
}

// Drain drains every queue at the same time, as Queue.Drain does.
func (g *Group) Drain(ctx context.Context) error {
	return g.each(func(q *Queue) error { return q.Drain(ctx) })
}

func (g *Group) each(fn func(*Queue) error) error {
	errs := make([]error, len(g.queues))
	var all sync.WaitGroup
	for i, q := range g.queues {
		all.Go(func() { errs[i] = fn(q) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// GroupStats counts what a group has done.
type GroupStats struct {
	Queues []Stats // of each queue, in the order of their numbers

	// Skew is what the busiest queue received, in shares of an even spread: 1 is even, the number of queues means that
	// one queue had it all. 0 before the first packet. Balancing by addresses puts everything between two hosts into one
	// queue.
	Skew float64
}

// Stats returns the counts so far. It may be called from any goroutine.
func (g *Group) Stats() GroupStats {
	var s GroupStats
	var sum, most uint64
	for _, q := range g.queues {
		one := q.Stats()
		s.Queues = append(s.Queues, one)
		sum += one.Received
		most = max(most, one.Received)
	}
	if sum > 0 {
		s.Skew = float64(most) * float64(len(g.queues)) / float64(sum)
	}
	return s
}
