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

	// Whether it is worth it is found by trying, and the decision kept for a while.
	full    int           // batches in a row that filled every buffer
	use     bool          // the decision
	left    int           // batches that it is kept for
	refused int           // batches that the last refusal was kept for
	tried   int           // batches of the trial that runs
	began   time.Duration // when what is measured began, since epoch
	unsent  int           // packets answered and not sent, then
	without time.Duration // what the batches before the trial took
}

const (
	relayAfter  = 64   // full batches in a row that make the loop saturated; a trial is measured against the last of them
	relayTrial  = 128  // batches of a trial
	relaySettle = 16   // batches before a measurement, for a thread to be woken and caches to fill
	relayKeep   = 4096 // batches that a decision is kept for, a few tenths of a second
	relayRetry  = 256  // batches that a first refusal is kept for: what else the machine did may have been the reason
	relayWake   = 1024 // the most for wakeAt; packets that are answered and not sent take up the queue
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

// saturated notes that a batch of n packets, received at now, has filled its buffers, or not, and reports whether the
// relay should send.
func (r *relay) saturated(full bool, n int, now time.Duration) bool {
	if !full {
		r.full, r.tried = 0, 0
		return false
	}
	switch r.full++; {
	case r.full < relaySettle:
		return false
	case r.full == relaySettle:
		r.began = now
		return false
	case r.full < relayAfter:
		return false
	case r.full == relayAfter:
		r.without = now - r.began
	}
	if r.left == 0 {
		return r.try(n, now)
	}
	if r.left--; r.left == 0 {
		r.full = 0 // to be measured anew without the relay
	}
	return r.use
}

// try lets the relay send for the batches of a trial, and decides after the last.
func (r *relay) try(n int, now time.Duration) bool {
	if runtime.GOMAXPROCS(0) == 1 {
		r.use, r.left = false, relayKeep
		return false
	}
	switch r.tried++; r.tried {
	case relaySettle:
		r.began, r.unsent = now, r.q.outbox.unsent()
	case relaySettle + relayTrial:
		// Half of the work on a packet that is answered and not sent is still to be done.
		batches := relayTrial - (r.q.outbox.unsent()-r.unsent)/2/n
		r.use = faster(now-r.began, batches, r.without, relayAfter-relaySettle)
		r.tried = 0
		if r.use {
			r.left, r.refused = relayKeep, 0
		} else {
			r.refused = min(max(2*r.refused, relayRetry), relayKeep)
			r.left = r.refused
		}
		return r.use
	}
	return true
}

// faster reports whether batches with the relay took a fifth less time than batches without: for less the second thread is
// not worth its cycles.
func faster(with time.Duration, batches int, without time.Duration, others int) bool {
	return 5*with*time.Duration(others) < 4*without*time.Duration(batches)
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
