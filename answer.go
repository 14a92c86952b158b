package ipq

import (
	"fmt"
	"sync/atomic"
	"time"
)

// answer is SetVerdict for a program that is not at its turn, or is early.
func (q *Queue) answer(id ID, v Verdict, c *Changes) error {
	if !v.final() {
		return q.opError("set verdict", fmt.Errorf("packet %v: %w: %v", id, ErrInvalidVerdict, v))
	}
	if q.closed.Load() {
		return q.opError("set verdict", nil)
	}
	o := q.outbox
	o.mu.Lock()
	s := q.find(id)
	if s == nil {
		o.mu.Unlock()
		return q.opError("set verdict", fmt.Errorf("packet %v: %w", id, ErrAnswered))
	}
	if c != nil && c.Payload != nil && !c.inPlace {
		if err := judgePayload(c.Payload, s.info.Load(), c.Raw); err != nil {
			o.mu.Unlock()
			return q.opError("set verdict", fmt.Errorf("packet %v: %w", id, err))
		}
	}
	more := id.seq > o.cursor && o.inHand.Add(-1) != 0
	o.add(s, v, c)
	if !more && id.seq > o.cursor {
		o.cursor = o.handed.Load()
	}
	o.mu.Unlock()

	if more {
		// The batch that is being worked on sends its answers together.
		q.guard.arm()
		return nil
	}
	if err := q.flushSoon(); err != nil {
		return q.opError("set verdict", err)
	}
	return nil
}

// find returns the slot of a packet of this queue that is not answered, or nil.
func (q *Queue) find(id ID) *slot {
	if id.generation != q.generation {
		return nil
	}
	return q.ledger.find(id.seq)
}

// answerDefault answers by Config.Default, if nobody has answered, and tells the program why.
func (q *Queue) answerDefault(id ID, why error) {
	o := q.outbox
	o.mu.Lock()
	s := q.find(id)
	if s != nil {
		o.add(s, q.cfg.Default, nil)
		o.counts.defaulted++
	}
	o.mu.Unlock()
	if s != nil && q.cfg.OnDefault != nil {
		q.cfg.OnDefault(id, why)
	}
}

// answerUnentered is answerDefault for a packet that found no room in the ledger.
func (q *Queue) answerUnentered(id ID, why error) {
	o := q.outbox
	o.mu.Lock()
	a := answer{seq: id.seq, verdict: q.cfg.Default.kernel(), extra: -1}
	o.put(a)
	o.counts.add(a.verdict, false)
	o.counts.defaulted++
	o.mu.Unlock()
	if q.cfg.OnDefault != nil {
		q.cfg.OnDefault(id, why)
	}
}

// maxDelay is the longest that an answer waits for others to leave with.
const maxDelay = time.Millisecond

// A guard sends answers that have waited for maxDelay, because the handler that was called next is slow. It is armed by
// whoever leaves an answer behind, at most once in maxDelay, and costs nothing while nothing waits.
type guard struct {
	timer *time.Timer
	armed atomic.Bool
}

func (g *guard) init(q *Queue) {
	g.timer = time.AfterFunc(time.Hour, func() {
		// Disarmed first: an answer added after this arms the guard again, one added before is sent here.
		g.armed.Store(false)
		q.flush() // an error comes up again in the receive loop, or the queue is closed
	})
	g.timer.Stop()
}

func (g *guard) arm() {
	if !g.armed.Load() && !g.armed.Swap(true) {
		g.timer.Reset(maxDelay)
	}
}

func (g *guard) stop() { g.timer.Stop() }
