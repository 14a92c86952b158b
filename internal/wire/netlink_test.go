package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"ipq/internal/wire"
)

// The bytes that pad a payload to a multiple of four never become part of it, in no direction, whether they count as part
// of the message or not.
func TestPadding(t *testing.T) {
	for n := range 9 {
		payload := bytes.Repeat([]byte{0xaa}, n)
		sent := wire.Packet{ID: 1, Fields: wire.HasPayload, Payload: payload}
		tight := wire.AppendPacket(nil, &sent)
		padded := wire.Pad(bytes.Clone(tight))
		counted := bytes.Clone(padded)
		wire.Shorten(counted) // sets the length to all that is there
		for _, datagram := range [][]byte{tight, padded, counted} {
			_, body, rest, ok, err := wire.Next(datagram)
			if !ok || err != nil || len(rest) != 0 {
				t.Fatalf("%d bytes: Next: %v, %v, %d left", n, ok, err, len(rest))
			}
			var p wire.Packet
			if _, err := wire.DecodePacket(&p, body); err != nil || !bytes.Equal(p.Payload, payload) {
				t.Errorf("%d bytes: payload %x, %v", n, p.Payload, err)
			}
			if cap(p.Payload) != n {
				t.Errorf("%d bytes: an append to the payload would write into the buffer behind it (capacity %d)", n, cap(p.Payload))
			}
		}

		v := wire.Verdict{ID: 1, Verdict: wire.NFAccept, SetPayload: true, Payload: payload}
		first := append(wire.AppendVerdict(nil, &v), payload...)
		if h, _, _, _, _ := wire.Next(first); int(h.Len) != len(first) {
			t.Errorf("%d bytes: the verdict says %d bytes and has %d", n, h.Len, len(first))
		}
		both := wire.AppendVerdict(wire.Pad(first), &wire.Verdict{ID: 2, Verdict: wire.NFDrop})
		_, body, rest, _, _ := wire.Next(both)
		var got wire.Verdict
		if err := wire.DecodeVerdict(&got, body); err != nil || !got.SetPayload || !bytes.Equal(got.Payload, payload) {
			t.Errorf("%d bytes: verdict with payload %x, %v", n, got.Payload, err)
		}
		_, body, _, ok, _ := wire.Next(rest)
		if err := wire.DecodeVerdict(&got, body); !ok || err != nil || got.ID != 2 || got.Verdict != wire.NFDrop {
			t.Errorf("%d bytes: the verdict behind it is %+v, %v", n, got, err)
		}
	}
}

// A message that was cut by its buffer still says whose it is, as long as the id arrived.
func TestShorten(t *testing.T) {
	whole := wire.AppendPacket(nil, &wire.Packet{ID: 77, Fields: wire.HasMark | wire.HasPayload, Mark: 5, Payload: make([]byte, 100)})
	for n := range len(whole) {
		datagram := wire.Shorten(bytes.Clone(whole[:n]))
		_, body, rest, ok, err := wire.Next(datagram)
		if n < wire.HeaderSize {
			if ok || (err == nil) != (n == 0) {
				t.Errorf("cut to %d: ok %v, %v", n, ok, err)
			}
			continue
		}
		if !ok || err != nil || len(rest) != 0 {
			t.Fatalf("cut to %d: ok %v, %v, %d left", n, ok, err, len(rest))
		}
		var p wire.Packet
		identified, err := wire.DecodePacket(&p, body)
		if want := n >= 16+4+4+7; identified != want || identified && p.ID != 77 {
			t.Errorf("cut to %d: identified %v, id %d", n, identified, p.ID)
		}
		// At the end of an attribute, or less than an attribute's header behind one, nothing shows that more was meant.
		if !identified && err == nil {
			t.Errorf("cut to %d: no id and no error", n)
		}
		if err != nil && !errors.Is(err, wire.ErrShort) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
}
