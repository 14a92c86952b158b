//go:build race

package ipq_test

import (
	"bytes"
	"testing"

	"ipq"
)

// In a build with the race detector, what a program keeps of a packet beyond its lease is rubbish.
func TestPoison(t *testing.T) {
	peer, q := newPeer(t, ipq.Config{})
	var b ipq.Batch
	receive := func(payload string, id uint32) []byte {
		peer.send(packetMessage(id, payload))
		if err := q.Recv(&b); err != nil {
			t.Fatal(err)
		}
		p := b.Packet(0)
		if string(p.Payload) != payload {
			t.Fatalf("received %q", p.Payload)
		}
		return p.Payload
	}
	kept := receive("the first packet is longer", 1)
	receive("E", 2)
	if want := bytes.Repeat([]byte{0xdb}, 20); !bytes.Equal(kept[len(kept)-20:], want) {
		t.Errorf("the payload that was kept ends in %x, want %x", kept[len(kept)-20:], want)
	}
}
