package ipq

import (
	"errors"
	"os"
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
	// Answers that were added after the last look and before the unlocking are left to us.
	return q.flushSoon()
}

// flushBeside is flush for goroutines that cannot return an error: the receive loop does, also if it is waiting.
func (q *Queue) flushBeside() {
	if err := q.flush(); err != nil {
		q.keepError(err)
		q.setDeadline(q.noteKept)
	}
}

// keepError keeps an error of the sending for the next Recv or Serve, or for Close. The first one stays.
func (q *Queue) keepError(err error) {
	if err != nil && !errors.Is(err, os.ErrClosed) {
		kept := err // err itself would be allocated each time
		q.flushError.CompareAndSwap(nil, &kept)
	}
}

// noteKept makes the deadline end a wait while there is an error. It looks under the deadline's lock: another may have been kept,
// or taken, meanwhile.
func (q *Queue) noteKept(d *deadline) { d.failed = q.flushError.Load() != nil }

// keptError returns what keepError has kept, once.
func (q *Queue) keptError() error {
	if q.flushError.Load() == nil {
		return nil
	}
	kept := q.flushError.Swap(nil)
	q.setDeadline(q.noteKept)
	if kept == nil {
		return nil
	}
	return *kept
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
