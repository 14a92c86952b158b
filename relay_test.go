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
			for _, round := range []string{"first", "second"} {
				if n := relays(relaySettle + relayTrial - 1); n != relaySettle+relayTrial-1 {
					t.Fatalf("%s trial: %d batches relayed", round, n)
				}
				want, last := 0, 0
				if test.use {
					want, last = relayKeep, 1
				}
				if n := relays(relayKeep); n != want {
					t.Fatalf("%d of the %d batches after the %s trial were relayed, want %d", n, relayKeep, round, want)
				}
				if n := relays(relayAfter); n != last {
					t.Fatalf("measuring anew after the %s trial, %d batches were relayed", round, n)
				}
			}
			if r.saturated(false, 3, now); relays(relayAfter-1) != 0 {
				t.Fatal("relayed at once after a batch that was not full")
			}
		})
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
