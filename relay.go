package ipq

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A relay sends answers beside the receive loop, while the loop is saturated: the kernel does the receiving in the
// thread that receives, and carries packets on in the thread that sends the verdicts, each about half of the work. It
// needs an idle core. Where there is none, the receive loop finds its answers unsent and sends them itself.
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
	relayMisses = 4    // until the relay is given up for relayPause batches
	relayPause  = 4096 // about a fifth of a second
	relaySpin   = 30 * time.Microsecond
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

// run sends until nothing has come for relaySpin. Parking at once would cost the receive loop a wake-up per batch.
func (r *relay) run() {
	o := r.q.outbox
	for idle := time.Now(); ; {
		if o.waiting.Load() > 0 {
			r.q.flush() // an error comes up again in the receive loop
			idle = time.Now()
			continue
		}
		if time.Since(idle) > relaySpin {
			r.parked.Store(true)
			if o.waiting.Load() == 0 || !r.parked.CompareAndSwap(true, false) {
				return
			}
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
	if inPlace || waiting > 8*n {
		return false
	}
	if waiting > 2*n && r.q.sender.mu.TryLock() {
		// Nobody is sending although the answers of two batches wait: the relay does not get a core.
		r.q.sender.mu.Unlock()
		if r.miss++; r.miss == relayMisses {
			r.miss, r.full, r.pause = 0, 0, relayPause
		}
		return false
	}
	if waiting <= n {
		r.miss = 0
	}
	if r.parked.Load() && r.parked.CompareAndSwap(true, false) {
		r.kick <- struct{}{}
	}
	return true
}
