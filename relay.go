package ipq

import (
	"runtime"
	"sync/atomic"
)

// A relay sends answers beside the receive loop, while the loop is saturated: the kernel does the receiving in the
// thread that receives, and carries packets on in the thread that sends the verdicts, each about half of the work. It
// needs an idle core. Where there is none, answers pile up unsent, and the receive loop sends them itself.
type relay struct {
	q      *Queue
	kick   chan struct{}
	parked atomic.Bool

	full  int // batches in a row that filled every buffer
	miss  int // times in a row that the relay had not come to run
	pause int // batches to do without it
}

const (
	relayAfter  = 8    // full batches in a row that make the loop saturated
	relayKick   = 8    // batches that wait before the relay is woken: a wake-up costs as much as several packets
	relayMax    = 32   // batches that wait before the loop sends them itself
	relayMisses = 2    // until the relay is given up for relayPause batches
	relayPause  = 4096 // about a fifth of a second
)

// start makes the goroutine, which costs nothing until it is kicked. stop ends it.
func (r *relay) start(q *Queue) (stop func()) {
	r.q, r.kick = q, make(chan struct{}, 1)
	r.parked.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range r.kick {
			r.run()
		}
	}()
	return func() { close(r.kick); <-done }
}

// run sends until nothing waits.
func (r *relay) run() {
	for {
		r.q.flush() // an error comes up again in the receive loop
		r.parked.Store(true)
		if r.q.outbox.waiting.Load() == 0 || !r.parked.CompareAndSwap(true, false) {
			return
		}
	}
}

// saturated notes that a batch has filled its buffers, or not, and reports whether the relay should send.
func (r *relay) saturated(full bool) bool {
	switch {
	case !full:
		r.full, r.miss = 0, 0
		return false
	case r.pause > 0:
		r.pause--
		return false
	}
	r.full++
	return r.full > relayAfter && runtime.GOMAXPROCS(0) > 1
}

// pass leaves the answers of a batch of n to the relay. It reports false if they had better be sent here.
func (r *relay) pass(n int) bool {
	o := r.q.outbox
	o.mu.Lock()
	waiting, inPlace := o.publish(), o.inPlace
	o.mu.Unlock()
	switch {
	case inPlace:
		return false
	case waiting > relayMax*n:
		if r.q.sender.mu.TryLock() {
			// Nobody is sending although so much waits: the relay does not get a core.
			r.q.sender.mu.Unlock()
			if r.miss++; r.miss == relayMisses {
				r.miss, r.full, r.pause = 0, 0, relayPause
			}
		}
		return false
	case waiting >= relayKick*n && r.parked.CompareAndSwap(true, false):
		r.kick <- struct{}{}
	}
	r.q.guard.arm() // the relay may be slow to come, and the next call of the handler long
	return true
}
