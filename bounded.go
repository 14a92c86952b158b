package ipq

import (
	"os"
	"sync/atomic"
	"time"
)

// maxLate is how many handler calls may have outlived Config.HandlerTimeout at the same time. Each keeps its batch's
// buffers.
const maxLate = 16

// bounded is Serve with a bound on each call. The loop runs in a worker. When a call outlives the bound, its packet is
// answered and another worker takes the loop over, with the packet that comes next; the first one ends when its call
// returns.
type bounded struct {
	q        *Queue
	h        Handler
	stopping *atomic.Bool
	late     chan struct{} // a place for each call that outlived the bound
	done     chan error
}

type worker struct {
	*bounded
	batch *Batch
	next  int // of batch's packets, the first that no handler has seen

	timer   *time.Timer
	current atomic.Pointer[Packet] // being handled; nil between calls
	started atomic.Int64           // when, in nanoseconds since epoch
}

var epoch = time.Now()

func (q *Queue) serveBounded(h Handler, stopping *atomic.Bool) error {
	s := &bounded{q: q, h: h, stopping: stopping, late: make(chan struct{}, maxLate), done: make(chan error, 1)}
	go (&worker{bounded: s, batch: new(Batch)}).run()
	return <-s.done
}

// run is the loop, until it ends or a call in it is late.
func (w *worker) run() {
	w.timer = time.AfterFunc(time.Hour, w.expire)
	w.timer.Stop()
	q, err, inTurn := w.q, error(errAbandoned), true
	defer func() {
		w.timer.Stop()
		if !inTurn {
			<-w.late
			return
		}
		q.abandon(w.batch, w.next)
		if flushErr := q.flush(); err == nil {
			err = flushErr
		}
		w.done <- err
	}()
	for {
		for w.next < w.batch.n {
			if w.stopping.Load() || q.draining.Load() {
				err = os.ErrDeadlineExceeded
				return
			}
			p := &w.batch.packets[w.next]
			w.next++
			w.started.Store(int64(time.Since(epoch)))
			w.current.Store(p)
			w.timer.Reset(q.cfg.HandlerTimeout)
			v := q.call(w.h, p)
			if !w.current.CompareAndSwap(p, nil) {
				inTurn = false
				return
			}
			w.timer.Stop()
			q.finish(p, v)
			if w.next < w.batch.n {
				q.guard.arm()
			}
		}
		if err = q.recv(w.batch, nil); err != nil {
			return
		}
		w.next = 0
	}
}

// expire answers the packet whose handler is late, and lets another worker go on.
func (w *worker) expire() {
	p := w.current.Load()
	if p == nil || time.Since(epoch)-time.Duration(w.started.Load()) < w.q.cfg.HandlerTimeout {
		return // the timer was set for a call that has returned
	}
	if !w.current.CompareAndSwap(p, nil) {
		return
	}
	// The rest of the batch, whose packets the late handler does not touch, and then buffers of its own: the ring stays
	// with the late one.
	rest := &Batch{packets: w.batch.packets, n: w.batch.n}
	successor := &worker{bounded: w.bounded, batch: rest, next: w.next}
	w.q.answerDefault(p.ID, ErrHandlerTimeout)
	w.q.finish(p, Hold) // of a packet that is answered: ends its turn
	w.q.flush()         // an error comes up again in the successor
	w.late <- struct{}{}
	go successor.run()
}
