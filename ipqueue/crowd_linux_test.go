package ipqueue_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
	"ipq/ipqueue"
)

// When the peer and a crowd of others leave at once, the others wait for its
// departure, and none of them for another: its place is free at once.
func TestCrowdLeaves(t *testing.T) {
	h := ipqueue.OpenIdle(ipqueue.Config{Allow: func(ipqueue.Credentials) bool { return true }})
	defer h.Close()
	for range 20 {
		var crowd []*program
		for range 100 {
			crowd = append(crowd, connect(t, h, ipqueue.IPv4, wire.IPQ64, 701))
		}
		p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
		p.setMode(wire.IPQCopyMeta, 0)
		start := time.Now()
		for i, other := range crowd {
			if i == 50 {
				p.close()
			}
			unix.Sendto(other.fd, []byte("a word of farewell"), unix.MSG_DONTWAIT, nil)
			other.close()
		}
		await(t, h, ipqueue.IPv4, "everyone has left", func(s ipqueue.FamilyStatus) bool { return s.Programs == 0 && s.PeerPID == 0 })
		if took := time.Since(start); took > 900*time.Millisecond { // a wait in vain takes a second
			t.Fatalf("it took %v", took)
		}
	}
}
