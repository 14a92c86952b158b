package ipq

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"sync/atomic"
)

// A Handler decides about one packet, which is valid until it returns. It may set what is to change (Packet.SetMark,
// Packet.SetPayload) and returns the verdict, or Hold to answer later by Queue.SetVerdict.
type Handler func(p *Packet) Verdict

// Serve calls h for each packet, from one goroutine at a time and in the order of the packets' ids, until ctx ends or
// the queue is closed or drained; it returns ctx's error, os.ErrClosed or ErrDrained. Verdicts leave at the end of each
// batch that was received, and at the latest one millisecond after they were given, however slow the next call is.
//
// Every packet gets its verdict. Config.Default answers when h panics (see Config.OnDefault) or returns no valid verdict,
// when it takes longer than Config.HandlerTimeout, and for what is left of the batch when Serve ends.
func (q *Queue) Serve(ctx context.Context, h Handler) error {
	if q.draining.Load() {
		return q.opError("serve", ErrDrained)
	}
	if !q.reading.CompareAndSwap(false, true) {
		return q.opError("serve", ErrReading)
	}
	defer q.reading.Store(false)
	q.settle()
	q.serving.Store(true)
	defer q.serving.Store(false)

	var stopping atomic.Bool
	end := q.wakeOn(ctx, &stopping)
	defer end()

	var err error
	if q.cfg.HandlerTimeout > 0 {
		err = q.serveBounded(ctx, h, &stopping)
	} else {
		err = q.serve(h, &stopping)
	}
	switch {
	case ctx.Err() != nil:
		if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, errPeerGone) {
			q.keepError(err)
		}
		return ctx.Err()
	case q.draining.Load() && errors.Is(err, os.ErrDeadlineExceeded):
		return q.opError("serve", ErrDrained)
	}
	return q.opError("serve", err)
}

// wakeOn makes the end of ctx wake the receive loop. end undoes it.
func (q *Queue) wakeOn(ctx context.Context, stopping *atomic.Bool) (end func()) {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		stopping.Store(true)
		q.wake()
	})
	return func() {
		if stop() {
			return
		}
		<-woken
		q.setDeadline(func(d *deadline) { d.woken = q.draining.Load() })
	}
}

// wake ends the wait of Serve or Recv.
func (q *Queue) wake() { q.setDeadline(func(d *deadline) { d.woken = true }) }

// serve is the way of every packet: received, handed to h, answered, and sent with the rest of its batch.
func (q *Queue) serve(h Handler, stopping *atomic.Bool) (err error) {
	b, r := new(Batch), new(relay)
	defer r.start(q)()
	next := 0 // of b's packets, the first that h has not seen
	defer func() {
		q.abandon(b, next)
		q.keepError(q.flush())
	}()
	for {
		next = 0
		if err := q.recv(b, r); err != nil {
			return err
		}
		for next < b.n {
			if stopping.Load() || q.draining.Load() {
				return os.ErrDeadlineExceeded
			}
			p, e := &b.packets[next], &b.entries[next]
			next++
			q.finish(e, p, q.call(h, e, p))
			if next < b.n {
				q.guard.arm()
			}
		}
	}
}

// call runs h on p. If it does not return, p is answered before the panic, or the goroutine's end, takes its course.
func (q *Queue) call(h Handler, e *entry, p *Packet) (v Verdict) {
	returned := false
	defer func() {
		if returned {
			return
		}
		why := error(errAbandoned)
		if q.cfg.OnDefault != nil {
			if value := recover(); value != nil {
				why = &PanicError{Value: value, Stack: debug.Stack()}
			}
		}
		q.answerDefault(ID{q.generation, e.seq}, why)
		v = Hold // of a packet that is answered: finish only ends its turn
	}()
	v = h(p)
	returned = true
	return v
}

// finish ends p's turn with the verdict of its handler, who may have written anything over p.
func (q *Queue) finish(e *entry, p *Packet, v Verdict) {
	o := q.outbox
	var why error
	o.mu.Lock()
	switch {
	case o.over(e.seq): // answered before the handler returned
	case v.final():
		o.add(e.seq, e.facts, v, &p.changes)
	case v == Hold && o.held.len() < q.cfg.MaxHeld:
		o.held.add(e.seq, e.facts)
	default:
		o.add(e.seq, e.facts, q.cfg.Default, nil)
		o.counts.defaulted++
		if why = ErrInvalidVerdict; v == Hold {
			why = ErrTooManyHeld
		}
	}
	o.mu.Unlock()
	if why != nil {
		q.tellDefault(ID{q.generation, e.seq}, why)
	}
}

// pass ends the turn of a packet that is answered.
func (q *Queue) pass(seq uint64) {
	q.outbox.mu.Lock()
	q.outbox.over(seq)
	q.outbox.mu.Unlock()
}

// abandon answers the packets of b, from the given one, that h will not see.
func (q *Queue) abandon(b *Batch, from int) {
	for i := from; i < b.n; i++ {
		q.answerDefault(ID{q.generation, b.entries[i].seq}, errAbandoned)
	}
	b.n = 0
	q.settle()
}
