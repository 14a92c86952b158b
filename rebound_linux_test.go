package ipq_test

import (
	"errors"
	"slices"
	"testing"

	"ipq"
)

// Ids that go back are those of a queue that was bound anew: an answer for a packet of the old one must not reach the packet
// that has its id now.
func TestBoundAnew(t *testing.T) {
	var gone []uint32
	peer, q := newPeer(t, ipq.Config{OnVerdictError: func(id ipq.ID, err error) {
		if !errors.Is(err, ipq.ErrPacketGone) {
			t.Errorf("packet %v: %v", id, err)
		}
		gone = append(gone, id.Uint32())
	}})
	var b ipq.Batch
	receive := func(id uint32) ipq.ID {
		t.Helper()
		peer.send(packetMessage(id, "E"))
		if err := q.Recv(&b); err != nil {
			t.Fatal(err)
		}
		return b.Packet(0).ID
	}
	old := []ipq.ID{receive(1), receive(2)}
	now := []ipq.ID{receive(1), receive(2)}
	if !slices.Equal(gone, []uint32{1, 2}) {
		t.Errorf("told that %v are gone, want 1 and 2", gone)
	}
	for _, id := range old {
		if err := q.SetVerdict(id, ipq.Drop); !errors.Is(err, ipq.ErrAnswered) {
			t.Errorf("an answer for packet %v of the old queue: %v", id, err)
		}
	}
	for _, id := range now {
		if err := q.SetVerdict(id, ipq.Accept); err != nil {
			t.Error(err)
		}
	}
	if s := q.Stats(); s.Received != 4 || s.Accepted != 2 || s.Dropped != 2 || s.Gone != 2 || s.Open != 0 {
		t.Errorf("stats %+v", s)
	}
}
