package nlsock

import "testing"

// Who yields in vain tries it seldom; who finds a packet each time tries it each time.
func TestPatience(t *testing.T) {
	var p patience
	const waits = 100 * maxInVain
	tries := 0
	for range waits {
		if p.yield() {
			p.told(false)
			tries++
		}
	}
	if tries > 200 {
		t.Errorf("%d waits, %d yields in vain", waits, tries)
	}
	p.skip = 0
	for range 20 {
		if p.told(true); p.skip != 0 {
			t.Fatalf("after a yield that found a packet, %d waits without one", p.skip)
		}
	}
	if p.penalty != 0 {
		t.Errorf("after 20 yields that found a packet, the next in vain costs %d waits", 2*p.penalty)
	}
}
