package packet_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ipq/packet"
)

func TestSetPayload(t *testing.T) {
	for name, b := range samples() {
		if strings.Contains(name, "first") || strings.Contains(name, "later") || strings.Contains(name, "nested") || name == "route6 odd" || name == "route6 uneven" {
			continue
		}
		for _, n := range []int{0, 1, 2, 21, 22, 23, 100, 1472, 60000} {
			data := bytes.Repeat([]byte{0xa5}, n)
			in := bytes.Clone(b)
			var h packet.Headers
			h.Parse(in)
			header := bytes.Clone(in[:h.PayloadOffset])
			out, err := h.SetPayload(data)
			if err != nil {
				t.Fatalf("%s, %d bytes: %v", name, n, err)
			}
			if err := packet.CheckLengths(out); err != nil {
				t.Errorf("%s, %d bytes: %v", name, n, err)
			}
			if !bytes.Equal(h.Payload(), data) || !bytes.Equal(out[h.PayloadOffset:], data) || len(out) != h.Length {
				t.Errorf("%s, %d bytes: payload %d, length %d of %d", name, n, len(h.Payload()), h.Length, len(out))
			}
			consistent(t, &h, name)
			// Nothing but lengths and checksums may differ in the headers.
			var was packet.Headers
			was.Parse(b)
			if h.Src != was.Src || h.Dst != was.Dst || h.SrcPort != was.SrcPort || h.Seq != was.Seq || h.Flags != was.Flags ||
				h.ID != was.ID || h.PayloadOffset != len(header) || h.ICMPID != was.ICMPID {
				t.Errorf("%s, %d bytes: headers %x became %x", name, n, header, out[:h.PayloadOffset])
			}
			if name == "udp4 no sum" && h.Checksum != 0 {
				t.Errorf("%s: a checksum appeared", name)
			}
		}
	}
}

// The packet's own slice is used while it has room, as append does it.
func TestSetPayloadInPlace(t *testing.T) {
	room := make([]byte, 2000)
	n := copy(room, samples()["udp4"])
	var h packet.Headers
	h.Parse(room[:n])
	out, err := h.SetPayload(make([]byte, 1000))
	if err != nil || &out[0] != &room[0] || len(out) != 1028 {
		t.Errorf("grown in its capacity: %d bytes, %v, moved %t", len(out), err, &out[0] != &room[0])
	}
	h.Parse(room[:1028:1028])
	out, err = h.SetPayload(make([]byte, 1001))
	if err != nil || &out[0] == &room[0] || len(out) != 1029 {
		t.Errorf("grown past its capacity: %d bytes, %v", len(out), err)
	}
	if room[1028] != 0 || room[2] != 4 || room[3] != 4 {
		t.Error("the old slice changed when a new one was allocated")
	}
	// The payload may be a part of the packet itself.
	b := samples()["tcp4"]
	h.Parse(b)
	out, err = h.SetPayload(h.Payload()[2:7])
	if err != nil || string(h.Payload()) != "quick" || &out[0] != &b[0] {
		t.Errorf("overlap: %q, %v", h.Payload(), err)
	}
	b = samples()["icmp4"]
	quoted := bytes.Clone(b[:36])
	h.Parse(b[:len(b):len(b)])
	if _, err = h.SetPayload(b[:36]); err != nil || !bytes.Equal(h.Payload(), quoted) {
		t.Errorf("overlap from below: %x, want %x, %v", h.Payload(), quoted, err)
	}
	b = append(make([]byte, 0, 200), samples()["icmp4"]...)
	h.Parse(b)
	if _, err = h.SetPayload(b[:36]); err != nil || !bytes.Equal(h.Payload(), quoted) {
		t.Errorf("overlap from below, in place: %x, want %x, %v", h.Payload(), quoted, err)
	}
}

func TestSetPayloadUDPLiteCoverage(t *testing.T) {
	all := samples()
	full := bytes.Clone(all["udplite4"])
	full[25] = 30
	for _, c := range []struct {
		name       string
		b          []byte
		size, want int
	}{
		{"zero stays zero", all["udplite4"], 5, 0},
		{"full stays full", full, 5, 13},
		{"partial stays partial", all["udplite4 part"], 100, 12},
		{"partial shrinks with the datagram", all["udplite4 part"], 1, 9},
	} {
		var h packet.Headers
		h.Parse(bytes.Clone(c.b))
		out, err := h.SetPayload(make([]byte, c.size))
		if err != nil || int(out[25]) != c.want {
			t.Errorf("%s: coverage %d, want %d (%v)", c.name, out[25], c.want, err)
		}
	}
}

func TestSetPayloadRefused(t *testing.T) {
	all := samples()
	badTCP := bytes.Clone(all["tcp4"])
	badTCP[32] = 0x10
	for _, c := range []struct {
		name string
		b    []byte
		size int
		want error
	}{
		{"no packet", nil, 1, packet.ErrNotIP},
		{"truncated", all["udp4"][:40], 1, packet.ErrTruncated},
		{"fragment", all["first4"], 1, packet.ErrFragment},
		{"later fragment", all["later6"], 1, packet.ErrFragment},
		{"bad TCP header", badTCP, 1, packet.ErrMalformed},
		{"unknown final destination", all["route6 odd"], 1, packet.ErrMalformed},
		{"too long", all["udp4"], 65535 - 27, packet.ErrTooLong},
		{"too long, IPv6", all["udp6"], 65535 - 7, packet.ErrTooLong},
	} {
		before := bytes.Clone(c.b)
		var h packet.Headers
		h.Parse(c.b)
		if out, err := h.SetPayload(make([]byte, c.size)); !errors.Is(err, c.want) || out != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if !bytes.Equal(c.b, before) {
			t.Errorf("%s: the packet was changed", c.name)
		}
	}
	var h packet.Headers
	h.Parse(all["udp4"])
	if out, err := h.SetPayload(make([]byte, 65535-28)); err != nil || len(out) != 65535 {
		t.Errorf("the longest IPv4 packet: %d, %v", len(out), err)
	}
	h.Parse(all["udp6"])
	if out, err := h.SetPayload(make([]byte, 65535-8)); err != nil || len(out) != 65575 {
		t.Errorf("the longest IPv6 packet: %d, %v", len(out), err)
	}
}

func FuzzSetPayload(f *testing.F) {
	for _, b := range samples() {
		f.Add(b, []byte("other"))
		f.Add(b, bytes.Repeat([]byte{0xff}, 300))
	}
	f.Fuzz(func(t *testing.T, b, data []byte) {
		before := b
		b = bytes.Clone(b) // data may lie in the capacity of b
		var h packet.Headers
		h.Parse(b)
		out, err := h.SetPayload(data)
		if err != nil {
			if !bytes.Equal(b, before) {
				t.Fatalf("failed with %v and changed %x to %x", err, before, b)
			}
			return
		}
		if !bytes.Equal(h.Payload(), data) {
			t.Fatalf("payload %x, want %x", h.Payload(), data)
		}
		if err := packet.CheckLengths(out); err != nil {
			t.Fatal(err)
		}
		consistent(t, &h, "SetPayload")
	})
}
