package ipq

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A relay sends answers beside the receive loop, while the loop is saturated: the kernel does the receiving in the
// thread that receives, and carries packets on in the thread that sends the verdicts, each about half of the work. It
// needs an idle core. Nothing tells whether there is one but the time that packets take with and without it.
type relay struct {
	q      *Queue
	kick   chan struct{}
	parked atomic.Bool

	wakeAt int // packets that wait before the relay is woken: a wake-up costs as much as several of them
	ownAt  int // packets that wait before the loop sends them itself
	full   int // batches in a row that filled every buffer

	// Whether it is worth it is found by trying, and the decision kept for a while.
	use     bool
	left    int           // batches until the next trial
	tried   int           // batches of the trial: first without the relay, then with it
	began   time.Time     // of the half of the trial that runs
	without time.Duration // what the first half took
}

const (
	relayAfter = 256  // full batches in a row that make the loop saturated: a burst is over before
	relayWake  = 512  // the most for wakeAt; packets that are answered and not sent take up the queue
	relayTrial = 96   // batches of each half of a trial
	relayKeep  = 4096 // batches that a decision holds, a few tenths of a second
)

// start makes the goroutine, which costs nothing until it is kicked. stop ends it.
func (r *relay) start(q *Queue) (stop func()) {
	r.q, r.kick = q, make(chan struct{}, 1)
	r.wakeAt = min(relayWake, q.cfg.maxLen()/8)
	r.ownAt = 4 * r.wakeAt
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
		r.q.flushBeside()
		r.parked.Store(true)
		if r.q.outbox.waiting.Load() == 0 || !r.parked.CompareAndSwap(true, false) {
			return
		}
	}
}

// saturated notes that a batch has filled its buffers, or not, and reports whether the relay should send.
func (r *relay) saturated(full bool) bool {
	if !full {
		r.full, r.tried = 0, 0
		return false
	}
	if r.full++; r.full <= relayAfter || runtime.GOMAXPROCS(0) == 1 {
		return false
	}
	if r.left > 0 {
		r.left--
		return r.use
	}
	switch r.tried++; r.tried {
	case 1:
		r.began = time.Now()
	case 1 + relayTrial:
		now := time.Now()
		r.without, r.began = now.Sub(r.began), now
	case 1 + 2*relayTrial:
		// A fifth less time, or the second thread is not worth its cycles; what waits at the end of a trial flatters it.
		r.use = time.Since(r.began) < r.without*4/5
		r.tried, r.left = 0, relayKeep
		return r.use
	}
	return r.tried > relayTrial
}

// pass leaves the answers of a batch to the relay. It reports false if they had better be sent here.
func (r *relay) pass() bool {
	o := r.q.outbox
	o.mu.Lock()
	waiting, inPlace := o.publish(), o.inPlace
	o.mu.Unlock()
	switch {
	case inPlace:
		return false
	case waiting > r.ownAt:
		return false
	case waiting >= r.wakeAt && r.parked.CompareAndSwap(true, false):
		r.kick <- struct{}{}
	}
	r.q.guard.arm() // the relay may be slow to come, and the next call of the handler long
	return true
}
