package ipq_test

import (
	"testing"
	"time"

	"ipq"
)

// A packet that is held for too long is answered when the time is over, and an eighth of it later at most. The machine may be
// busy, but not each time.
func TestHoldTimeoutBound(t *testing.T) {
	const bound = 200 * time.Millisecond
	took := time.Duration(0)
	for range 5 {
		p, q := newPeer(t, ipq.Config{HoldTimeout: bound})
		began := time.Now() // before the receipt, from which the time counts
		p.packet(1, "x")
		stop := serve(t, q, func(*ipq.Packet) ipq.Verdict { return ipq.Hold })
		if v, _ := p.verdict(); v.ID != 1 {
			t.Fatalf("a verdict for packet %d", v.ID)
		}
		took = time.Since(began)
		stop()
		if took < bound {
			t.Fatalf("the packet was answered after %v, too early", took)
		}
		if took < 4*bound {
			return
		}
	}
	t.Errorf("the packet was answered after %v, want %v", took, bound+bound/8)
}
