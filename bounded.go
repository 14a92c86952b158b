package ipq

import (
	"context"
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
	ctx      context.Context
	h        Handler
	stopping *atomic.Bool
	places   chan struct{} // for calls that outlived the bound
	done     chan error
}

type worker struct {
	*bounded
	batch *Batch
	next  int // of batch's packets, the first that no handler has seen

	timer   *time.Timer
	current atomic.Uint64 // the packet that is being handled; 0 between calls, and when the call is late
	started atomic.Int64  // when, in nanoseconds since epoch
	placed  chan bool     // told to a late call: whether it has taken a place
}

func (q *Queue) serveBounded(ctx context.Context, h Handler, stopping *atomic.Bool) error {
	s := &bounded{q: q, ctx: ctx, h: h, stopping: stopping, places: make(chan struct{}, maxLate), done: make(chan error, 1)}
	go s.worker(new(Batch), 0).run()
	return <-s.done
}

func (s *bounded) worker(b *Batch, next int) *worker {
	return &worker{bounded: s, batch: b, next: next, placed: make(chan bool, 1)}
}

// run is the loop, until it ends or a call in it is late.
func (w *worker) run() {
	w.timer = time.AfterFunc(time.Hour, w.expire)
	w.timer.Stop()
	q, err, calling := w.q, error(errAbandoned), uint64(0)
	defer func() {
		w.timer.Stop()
		if calling == 0 || w.current.CompareAndSwap(calling, 0) {
			w.end(err)
		} else if <-w.placed {
			<-w.places
		}
	}()
	for {
		for w.next < w.batch.n {
			if w.stopping.Load() || q.draining.Load() {
				err = os.ErrDeadlineExceeded
				return
			}
			p, e := &w.batch.packets[w.next], &w.batch.entries[w.next]
			w.next++
			calling = e.seq
			w.started.Store(int64(sinceEpoch()))
			w.current.Store(calling)
			w.timer.Reset(q.cfg.HandlerTimeout)
			v := q.call(w.h, e, p)
			if !w.current.CompareAndSwap(calling, 0) {
				return
			}
			calling = 0
			w.timer.Stop()
			q.finish(e, p, v)
			if w.next < w.batch.n {
				q.guard.arm()
			}
		}
		w.next = 0
		if err = q.recv(w.batch, nil); err != nil {
			return
		}
	}
}

// end ends Serve.
func (w *worker) end(err error) {
	w.q.abandon(w.batch, w.next)
	w.q.keepError(w.q.flush())
	w.done <- err
}

// expire answers the packet whose handler is late, and lets another worker go on.
func (w *worker) expire() {
	seq := w.current.Load()
	if seq == 0 || sinceEpoch()-time.Duration(w.started.Load()) < w.q.cfg.HandlerTimeout {
		return // the timer was set for a call that has returned
	}
	if !w.current.CompareAndSwap(seq, 0) {
		return
	}
	// The rest of the batch, whose packets the late handler does not touch, and then buffers of its own: the ring stays
	// with the late one.
	successor := w.worker(&Batch{packets: w.batch.packets, entries: w.batch.entries, n: w.batch.n}, w.next)
	w.q.answerDefault(ID{w.q.generation, seq}, ErrHandlerTimeout)
	w.q.pass(seq)
	w.q.flushBeside()
	select {
	case w.places <- struct{}{}:
		w.placed <- true
		go successor.run()
		return
	case <-w.ctx.Done():
	case <-w.q.ended:
	}
	w.placed <- false
	successor.end(os.ErrDeadlineExceeded)
}
