package ipq

import (
	"errors"
	"time"

	"ipq/internal/nlsock"
)

// flush sends what was collected, in order, and returns when the kernel has it all.
func (q *Queue) flush() error {
	now := sinceEpoch()
	q.sender.mu.Lock()
	err := q.flushLocked()
	q.sender.mu.Unlock()
	if err != nil {
		return err
	}
	q.guard.sent(now)
	// Who answered after the last look and before the unlocking has left his answer to us.
	return q.flushSoon()
}

// flushBeside is flush for who has nobody to tell: the receive loop returns the error, if there is one.
func (q *Queue) flushBeside() {
	if err := q.flush(); err != nil {
		kept := err // err itself would be allocated each time
		q.flushError.CompareAndSwap(nil, &kept)
	}
}

func (q *Queue) flushLocked() error {
	for {
		l, floor := q.outbox.take()
		if l == nil {
			return nil
		}
		err := q.sender.send(l, floor)
		now := sinceEpoch()
		for _, a := range l.arrivals {
			q.latency.add(now-a.at, a.packets)
		}
		q.outbox.give(l)
		if err != nil {
			return err
		}
	}
}

// flushSoon sees to it that what was collected is sent: here, or by the goroutine that is sending right now. While one
// sends, the others' answers gather and leave together.
func (q *Queue) flushSoon() error {
	for q.outbox.waiting.Load() > 0 && q.sender.mu.TryLock() {
		err := q.flushLocked()
		q.sender.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// sendPatiently tries again while the kernel has no memory for the message: a verdict must not be lost to that.
func sendPatiently(c *nlsock.Conn, v *nlsock.Vector) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := c.Send(v)
		if !errors.Is(err, nlsock.ENOBUFS) && !errors.Is(err, nlsock.ENOMEM) || wait > time.Second {
			return err
		}
		time.Sleep(wait)
	}
}
