package ipq

import (
	"context"
	"errors"
	"os"
	"time"

	"ipq/internal/nlsock"
)

// Drain empties the queue and closes it: it ends a running Serve or Recv (a handler that is at work is waited for),
// answers every held packet and every arrival by Config.Default, and closes when the queue has been seen empty. When ctx
// ends first, it closes at once and returns ctx's error.
//
// The kernel has no way to stop the intake of a queue without dropping: remove the rule that feeds it before, or arrivals
// are answered as long as they come. Where the kernel's table of queues cannot be read, a queue that was silent for
// 20 ms counts as empty. Drain must not be called from a handler.
func (q *Queue) Drain(ctx context.Context) error {
	q.draining.Store(true)
	err := q.drain(ctx)
	return errors.Join(err, q.Close())
}

func (q *Queue) drain(ctx context.Context) error {
	q.wake()
	for !q.reading.CompareAndSwap(false, true) {
		if q.closed.Load() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	defer q.reading.Store(false)
	q.settle()
	for _, seq := range q.outbox.heldPackets() {
		q.answerDefault(ID{q.generation, seq}, ErrDrained)
	}
	b := new(Batch)
	for ctx.Err() == nil {
		err := q.recvFor(b, quiet)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return q.opError("drain", err)
		}
		for p := range b.All() {
			q.answerDefault(p.ID, ErrDrained)
		}
		if err := q.flush(); err != nil {
			return q.opError("drain", err)
		}
		row, known := q.tableRow()
		switch {
		case known && row.Waiting == 0:
			return nil
		case !known && b.n == 0:
			if more, err := q.look(); !more {
				return err
			}
		case b.n == 0 && q.inherited.open:
			if err := q.settleInheritance(row.IDSequence); err != nil {
				return q.opError("drain", err)
			}
		}
	}
	return ctx.Err()
}

// look receives what is there without waiting, keeps it for the receive loop, and reports whether there was something. The
// deadline of a wait may pass before the wait has begun, on a machine that is busy; it then ends without a look.
func (q *Queue) look() (more bool, err error) {
	q.readMu.Lock()
	defer q.readMu.Unlock()
	q.setDeadline(func(own *deadline) { own.reader = time.Now().Add(time.Hour) }) // none that could be over
	ring := nlsock.NewRing(batchMin, q.slotSize)
	n, err := q.conn.TryRecv(ring)
	if errors.Is(err, nlsock.ENOBUFS) {
		return true, nil // it comes up again
	}
	for i := 0; i < n && err == nil; i++ {
		err = q.sift(ring, i)
	}
	if err != nil {
		return false, q.opError("drain", err)
	}
	return n > 0, nil
}

// quiet is how long Drain waits for an arrival. Where the kernel does not say what waits, it is all there is to go by.
const quiet = 20 * time.Millisecond

func (q *Queue) recvFor(b *Batch, d time.Duration) error {
	q.setDeadline(func(own *deadline) { own.reader = time.Now().Add(d) })
	return q.recv(b, nil)
}
