package ipq_test

import (
	"bytes"
	"testing"
	"unsafe"

	"ipq"
	"ipq/internal/wire"
)

// Payloads lie where the kernel wrote them: each in the receive buffer of its packet.
func TestReceivedWithoutCopy(t *testing.T) {
	const rng, n = 1000, 8
	p, q := newPeer(t, ipq.Config{Range: rng})
	for id := range uint32(n) {
		p.send(packetMessage(id+1, "the payload"))
	}
	var b ipq.Batch
	if err := q.Recv(&b); err != nil || b.Len() != n {
		t.Fatalf("%d packets of %d that wait: %v", b.Len(), n, err)
	}
	at := func(i int) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b.Packet(i).Payload))) }
	apart := at(1) - at(0)
	if apart < rng {
		t.Errorf("payloads are %d bytes apart, less than a receive buffer of %d", apart, rng)
	}
	for i := 2; i < n; i++ {
		if got := at(i) - at(i-1); got != apart {
			t.Errorf("payload %d lies %d bytes behind the one before it, the others %d", i, got, apart)
		}
	}
}

// A payload that was edited in place is sent from there: what is written into it after it was set, and before it is sent, is
// sent. (A program must not do that: the answer may leave at any time.)
func TestSentWithoutCopy(t *testing.T) {
	p, q := newPeer(t, ipq.Config{})
	const size, n = 400, 100
	go func() {
		for id := range uint32(n) {
			p.send(packetMessage(id+1, string(bytes.Repeat([]byte{'a'}, size))))
		}
	}()
	serve(t, q, func(x *ipq.Packet) ipq.Verdict {
		if err := x.SetRawPayload(x.Payload); err != nil {
			t.Error(err)
		}
		if err := x.SetVerdict(ipq.Accept); err != nil {
			t.Error(err)
		}
		x.Payload[size-1] = 'b'
		return ipq.Hold
	})
	later := 0
	for range n {
		_, body, ok := p.message()
		if !ok {
			t.Fatal("the queue has closed")
		}
		var v wire.Verdict
		if err := wire.DecodeVerdict(&v, body); err != nil {
			t.Fatal(err)
		}
		if len(v.Payload) != size {
			t.Fatalf("a payload of %d bytes was sent", len(v.Payload))
		}
		if v.Payload[size-1] == 'b' {
			later++
		}
	}
	if later == 0 {
		t.Errorf("of %d payloads none was sent as it was written to last: they are copied", n)
	}
}
