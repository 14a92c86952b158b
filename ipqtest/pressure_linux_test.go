package ipqtest_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ipq"
)

// The time that a packet was in the program's hands is counted once, when its verdict has been sent.
func TestLatency(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		const kept = 20 * time.Millisecond
		q := w.open(t, ipq.Config{})
		ids := make(chan ipq.ID, 1)
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			if p.ID.Uint32() == 4 {
				ids <- p.ID
				return ipq.Hold
			}
			return ipq.Accept
		})
		for i := range 3 {
			p := w.send(t, fmt.Sprint("at once ", i), 0)
			w.delivered(t, p, p.data, 0)
		}
		last := w.send(t, "kept", 0)
		id := soon(t, ids, "the handler")
		<-time.After(kept)
		before := q.Stats().Latency
		if err := q.SetVerdict(id, ipq.Accept); err != nil {
			t.Fatal(err)
		}
		w.delivered(t, last, last.data, 0)
		after := q.Stats().Latency
		var sums [2]uint64
		for i := range after {
			sums[0] += before[i]
			sums[1] += after[i]
		}
		if sums != [2]uint64{3, 4} {
			t.Errorf("%d packets were counted before the last answer and %d after it, want 3 and 4", sums[0], sums[1])
		}
		if got := after.Quantile(1); got < kept {
			t.Errorf("the longest took %v at most, want %v at least", got, kept)
		}
		if low, high := after.Quantile(0.5), after.Quantile(1); low > high || after.Quantile(0) == 0 {
			t.Errorf("the median is %v, the longest %v", low, high)
		}
	})
	if got := (ipq.Latency{}).Quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	if got := (ipq.Latency{0, 0, 0, 99, 0, 1}).Quantile(0.99); got != 8*time.Microsecond {
		t.Errorf("99 of 100 took under 8 µs, but the 99th percentile is %v", got)
	}
}

// A queue that fills up says so once, and again when it had been emptied in between.
func TestHighWater(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		told := make(chan float64, 10)
		q := w.open(t, ipq.Config{MaxLen: 24, OnHighWater: func(full float64) { told <- full }})
		ids := hold(t, q)
		for round := range 2 {
			var held []ipq.ID
			for i := range 20 {
				w.send(t, fmt.Sprintf("packet %d of round %d", i, round), 0)
				held = append(held, soon(t, ids, "the handler"))
			}
			if full := soon(t, told, "OnHighWater"); full < 0.75 || full > 1 {
				t.Errorf("told that %v is taken", full)
			}
			drop := func(ids []ipq.ID) {
				t.Helper()
				for _, id := range ids {
					if err := q.SetVerdict(id, ipq.Drop); err != nil {
						t.Fatal(err)
					}
				}
			}
			// It is looked at when a packet comes, and not more often than each 10 ms.
			looked := func() {
				t.Helper()
				for end := time.Now().Add(15 * time.Millisecond); time.Now().Before(end); {
					w.send(t, fmt.Sprintf("in round %d, %v", round, time.Until(end)), 0)
					drop([]ipq.ID{soon(t, ids, "the handler")})
				}
			}
			// Between the two marks nothing changes: what fills up again from there is no news.
			drop(held[:6])
			looked()
			for i := range 6 {
				w.send(t, fmt.Sprintf("packet %d of round %d again", i, round), 0)
				held[i] = soon(t, ids, "the handler")
			}
			looked()
			drop(held)
			until(t, "the queue to be empty", func() bool { return w.loss(t).Waiting == 0 })
			looked()
			if len(told) > 0 {
				t.Error("told twice")
			}
		}
	})
}

// Verdicts that find their packets gone in numbers are told as what they are: a flush. One alone is not.
func TestFlushIsTold(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		var flushes atomic.Int32
		gone := make(chan ipq.ID, 100)
		q := w.open(t, ipq.Config{OnFlush: func() { flushes.Add(1) }, OnVerdictError: func(id ipq.ID, err error) { gone <- id }})
		ids := hold(t, q)
		for _, n := range []int{1, 20} {
			var held []ipq.ID
			for i := range n {
				w.send(t, fmt.Sprintf("packet %d of %d", i, n), 0)
				held = append(held, soon(t, ids, "the handler"))
			}
			w.flush(t)
			for _, id := range held {
				// Different answers, so that each is a message and an error of its own.
				if err := q.SetVerdict(id, ipq.Accept, ipq.Changes{Mark: id.Uint32(), MarkMask: ^uint32(0)}); err != nil {
					t.Fatal(err)
				}
			}
			for range n {
				soon(t, gone, "OnVerdictError")
			}
			if got, want := flushes.Load(), int32(n/20); got != want {
				t.Errorf("%d packets were gone, and OnFlush was told %d times, want %d", n, got, want)
			}
		}
	})
}
