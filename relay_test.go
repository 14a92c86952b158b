package ipq

import (
	"testing"
	"time"
)

// TestRelayIsTried follows the decision whether a second thread sends, on a clock of its own.
func TestRelayIsTried(t *testing.T) {
	const without = 60 * time.Microsecond // what a batch takes
	for _, test := range []struct {
		name string
		with time.Duration
		use  bool
	}{
		{"an idle core", 35 * time.Microsecond, true},
		{"a core that is shared", 55 * time.Microsecond, false},
		{"no core", 90 * time.Microsecond, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, now := &relay{q: &Queue{outbox: newOutbox()}}, time.Duration(0)
			relays := func(batches int) (n int) {
				for range batches {
					if r.saturated(true, 32, now) {
						n++
						now += test.with
					} else {
						now += without
					}
				}
				return n
			}
			if n := relays(relayAfter - 1); n != 0 {
				t.Fatalf("a burst of %d batches was relayed %d times", relayAfter-1, n)
			}
			refused := relayRetry
			for round := range 8 {
				if n := relays(relaySettle + relayTrial - 1); n != relaySettle+relayTrial-1 {
					t.Fatalf("trial %d: %d batches relayed", round, n)
				}
				kept, want, last := refused, 0, 0
				if test.use {
					kept, want, last = relayKeep, relayKeep, 1
				}
				if n := relays(kept); n != want {
					t.Fatalf("%d of the %d batches after trial %d were relayed, want %d", n, kept, round, want)
				}
				if n := relays(relayAfter); n != last {
					t.Fatalf("measuring anew after trial %d, %d batches were relayed", round, n)
				}
				refused = min(2*refused, relayKeep)
			}
			if r.saturated(false, 3, now); relays(relayAfter-1) != 0 {
				t.Fatal("relayed at once after a batch that was not full")
			}
		})
	}
}

// TestRelayRefusalIsForgotten: once the second thread has been worth it, a refusal is a first one again.
func TestRelayRefusalIsForgotten(t *testing.T) {
	r, now := &relay{q: &Queue{outbox: newOutbox()}}, time.Duration(0)
	for trial, with := range []time.Duration{90, 90, 30, 90} {
		for decided := false; !decided; decided = r.tried == 0 && r.full > relayAfter {
			if now += 60 * time.Microsecond; r.saturated(true, 32, now) && r.tried > 0 {
				now += (with - 60) * time.Microsecond
			}
		}
		if want := []int{relayRetry, 2 * relayRetry, relayKeep, relayRetry}[trial]; r.left != want {
			t.Fatalf("trial %d: kept for %d batches, want %d", trial, r.left, want)
		}
		for r.left > 0 {
			r.saturated(true, 32, now)
		}
	}
}

// TestRelayTrialCountsUnsent: what is answered and not sent is no gain.
func TestRelayTrialCountsUnsent(t *testing.T) {
	r := &relay{q: &Queue{outbox: newOutbox()}}
	now := time.Duration(0)
	for range relayAfter + relaySettle + relayTrial {
		r.saturated(true, 32, now)
		if now += 60 * time.Microsecond; r.tried > 0 {
			now -= 25 * time.Microsecond
			r.q.outbox.counts.accepted += 32 // and nothing is sent
		}
	}
	if r.use {
		t.Fatal("a relay that sends nothing is used")
	}
}
