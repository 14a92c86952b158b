package packet_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"

	"ipq/packet"
)

// consistent checks that a full computation changes nothing in h's packet, and that parsing it again gives h.
func consistent(t *testing.T, h *packet.Headers, what string) {
	t.Helper()
	b := bytes.Clone(h.Packet())
	if err := packet.UpdateChecksums(b); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !bytes.Equal(b, h.Packet()) {
		t.Fatalf("%s: checksums are not true:\n got %x\nwant %x", what, h.Packet(), b)
	}
	var again packet.Headers
	again.Parse(h.Packet())
	if summarise(&again) != summarise(h) || again.Src != h.Src || again.Dst != h.Dst || again.TTL != h.TTL || again.TOS != h.TOS ||
		again.Checksum != h.Checksum || again.Length != h.Length {
		t.Fatalf("%s: the packet reads %+v, the value says %+v", what, again, *h)
	}
}

// edits are all setters; v chooses the new value.
var edits = []struct {
	name  string
	apply func(h *packet.Headers, v uint64) error
}{
	{"SetSrc", func(h *packet.Headers, v uint64) error { return h.SetSrc(anyAddr(h, v)) }},
	{"SetDst", func(h *packet.Headers, v uint64) error { return h.SetDst(anyAddr(h, v)) }},
	{"SetSrcPort", func(h *packet.Headers, v uint64) error { return h.SetSrcPort(uint16(v)) }},
	{"SetDstPort", func(h *packet.Headers, v uint64) error { return h.SetDstPort(uint16(v)) }},
	{"SetTTL", func(h *packet.Headers, v uint64) error { return h.SetTTL(uint8(v)) }},
	{"SetTOS", func(h *packet.Headers, v uint64) error { return h.SetTOS(uint8(v)) }},
	{"SetSeq", func(h *packet.Headers, v uint64) error { return h.SetSeq(uint32(v)) }},
	{"SetAck", func(h *packet.Headers, v uint64) error { return h.SetAck(uint32(v)) }},
	{"SetFlags", func(h *packet.Headers, v uint64) error { return h.SetFlags(packet.TCPFlags(v)) }},
	{"SetWindow", func(h *packet.Headers, v uint64) error { return h.SetWindow(uint16(v)) }},
}

func anyAddr(h *packet.Headers, v uint64) netip.Addr {
	if h.Version == 4 {
		return netip.AddrFrom4([4]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)})
	}
	var a [16]byte
	for i := range a {
		a[i] = byte(v >> (i % 8 * 8) * uint64(i+1))
	}
	return netip.AddrFrom16(a)
}

// After any edit of any packet, a full computation changes nothing.
func TestEditsKeepChecksumsTrue(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, b := range samples() {
		var h packet.Headers
		if err := packet.UpdateChecksums(b); err != nil {
			continue // a packet whose checksum cannot be known
		}
		h.Parse(b)
		for round := range 300 {
			e := edits[round%len(edits)]
			v := r.Uint64()
			switch r.IntN(4) { // the corners of ones' complement
			case 0:
				v = 0
			case 1:
				v = ^uint64(0)
			}
			before := bytes.Clone(b)
			if err := e.apply(&h, v); err != nil {
				if !errors.Is(err, packet.ErrAbsent) {
					t.Fatalf("%s: %s: %v", name, e.name, err)
				}
				if !bytes.Equal(b, before) {
					t.Fatalf("%s: %s failed and changed the packet", name, e.name)
				}
			}
			if h.IsFragment() {
				continue // see TestEditFragments
			}
			consistent(t, &h, name+": "+e.name)
		}
	}
}

func TestEditsWriteTheirField(t *testing.T) {
	for _, name := range []string{"tcp4", "tcp6", "chain6"} {
		b := samples()[name]
		var h packet.Headers
		h.Parse(b)
		src, dst := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		if h.Version == 6 {
			src, dst = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
		}
		for _, err := range []error{h.SetSrc(src), h.SetDst(dst), h.SetSrcPort(1001), h.SetDstPort(1002), h.SetTTL(9), h.SetTOS(0x2e << 2),
			h.SetSeq(0xdeadbeef), h.SetAck(0xfeedface), h.SetFlags(packet.SYN | packet.AE), h.SetWindow(77)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		h.Parse(b)
		if h.Src != src || h.Dst != dst || h.SrcPort != 1001 || h.DstPort != 1002 || h.TTL != 9 || h.TOS != 0xb8 || h.Seq != 0xdeadbeef ||
			h.Ack != 0xfeedface || h.Flags != packet.SYN|packet.AE || h.Window != 77 {
			t.Errorf("%s: %+v", name, h)
		}
		if !bytes.Equal(h.Payload(), []byte("a quick brown fox, odd")) || !bytes.Equal(h.TCPOptions(), []byte{2, 4, 5, 0xb4, 1, 3, 3, 7}) {
			t.Errorf("%s: something else changed: %x", name, b)
		}
	}
}

// Every port, so that the checksum passes through all of its values, and 0 among them, which UDP must not send.
func TestEditsThroughEveryChecksum(t *testing.T) {
	for _, name := range []string{"udp4", "udp6", "tcp4", "udplite6"} {
		b := samples()[name]
		packet.UpdateChecksums(b)
		var h packet.Headers
		h.Parse(b)
		for port := range 1 << 16 {
			if err := h.SetDstPort(uint16(port)); err != nil {
				t.Fatal(err)
			}
			had := h.Checksum
			packet.UpdateChecksums(b)
			if h.Parse(b); h.Checksum != had {
				t.Fatalf("%s, port %d: checksum %#x, want %#x", name, port, had, h.Checksum)
			}
		}
	}
}

// A wrong checksum must stay wrong by as much: an incremental update does not bless a damaged packet.
func TestEditsKeepAWrongChecksumWrong(t *testing.T) {
	b := samples()["udp4"]
	if err := packet.UpdateChecksums(b); err != nil {
		t.Fatal(err)
	}
	b[40] ^= 0x10 // damage in the payload
	var h packet.Headers
	h.Parse(b)
	if err := h.SetDst(netip.MustParseAddr("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	fixed := bytes.Clone(b)
	if err := packet.UpdateChecksums(fixed); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(fixed, b) {
		t.Error("the damage is hidden")
	}
}

// CHECKSUM_PARTIAL: the field holds the sum of the pseudo-header. One UpdateChecksums, before the edits or after them, is enough.
func TestEditsOfAPendingChecksum(t *testing.T) {
	pending := func() []byte {
		b := ip4(17, udp(40000, 53, []byte("pending")))
		sum := slowSum(b[12:20], []byte{0, 17, 0, 15})
		b[26], b[27] = byte(^sum>>8), byte(^sum)
		return b
	}
	edit := func(b []byte) {
		var h packet.Headers
		h.Parse(b)
		if err := errors.Join(h.SetDst(netip.MustParseAddr("192.0.2.53")), h.SetDstPort(5353)); err != nil {
			t.Fatal(err)
		}
	}
	want := pending()
	edit(want)
	want, _ = slowUpdate(want)

	before, after := pending(), pending()
	packet.UpdateChecksums(before)
	edit(before)
	edit(after)
	packet.UpdateChecksums(after)
	if !bytes.Equal(before, want) || !bytes.Equal(after, want) {
		t.Errorf("completed before the edit %x\nafter it %x\nwant %x", before, after, want)
	}
}

// A datagram in two fragments: with the addresses changed in both and the port in the first, what comes out
// of reassembly has a true checksum.
func TestEditFragments(t *testing.T) {
	for _, version := range []int{4, 6} {
		data := bytes.Repeat([]byte("fragmented "), 9)
		datagram, whole := udp(1, 2, data), []byte(nil)
		var fragments [2][]byte
		if version == 4 {
			whole, _ = slowUpdate(ip4(17, datagram))
			datagram = whole[20:]
			first, later := ip4(17, datagram[:64]), ip4(17, datagram[64:])
			first[6], later[7] = 0x20, 8
			fragments = [2][]byte{first, later}
		} else {
			whole, _ = slowUpdate(ip6(17, datagram))
			datagram = whole[40:]
			fragments = [2][]byte{ip6(44, join(fragment6(17, 0, true, 5), datagram[:64])), ip6(44, join(fragment6(17, 64, false, 5), datagram[64:]))}
		}
		var joined []byte
		for i, f := range fragments {
			if err := packet.UpdateChecksums(f); err != nil {
				t.Fatal(err)
			}
			var h packet.Headers
			h.Parse(f)
			if err := errors.Join(h.SetSrc(anyAddr(&h, 0x1122334455667788)), h.SetDst(anyAddr(&h, 0x99aabbccddeeff))); err != nil {
				t.Fatal(err)
			}
			err := h.SetDstPort(77)
			if i == 1 && !errors.Is(err, packet.ErrAbsent) || i == 0 && err != nil {
				t.Fatalf("port of fragment %d: %v", i, err)
			}
			if _, err := h.SetPayload(nil); !errors.Is(err, packet.ErrFragment) {
				t.Fatalf("SetPayload of fragment %d: %v", i, err)
			}
			joined = append(joined, f[h.TransportOffset:]...)
			copy(whole, f[:h.TransportOffset]) // the addresses; lengths and fragment fields are put right below
		}
		if version == 4 {
			whole = append(whole[:20], joined...)
			whole[2], whole[3], whole[6], whole[7] = byte(len(whole)>>8), byte(len(whole)), 0, 0
		} else {
			whole = ip6(17, joined)
			copy(whole[8:40], fragments[0][8:40])
		}
		want, ok := slowUpdate(whole)
		header := len(whole) - len(joined)
		if !ok || !bytes.Equal(want[header:], whole[header:]) {
			t.Errorf("IPv%d: after reassembly the checksum is %x, want %x", version, whole[header:header+8], want[header:header+8])
		}
	}
}

func TestEditsRefused(t *testing.T) {
	all := samples()
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	tinyFirst := ip4(6, tcp(1, 2, nil, nil)[:8])
	tinyFirst[6] = 0x20
	sctpFirst := ip4(132, sctp(1, 2, make([]byte, 12)))
	sctpFirst[6] = 0x20
	short := bytes.Clone(ip4(6, tcp(1, 2, nil, nil)[:12]))
	badIHL := bytes.Clone(all["udp4"])
	badIHL[0] = 0x4f
	badIHL[3] = 30
	for _, c := range []struct {
		name string
		b    []byte
		edit func(h *packet.Headers) error
		want error
	}{
		{"no packet", nil, func(h *packet.Headers) error { return h.SetSrc(four) }, packet.ErrAbsent},
		{"no packet, TTL", nil, func(h *packet.Headers) error { return h.SetTTL(1) }, packet.ErrAbsent},
		{"no packet, TOS", nil, func(h *packet.Headers) error { return h.SetTOS(1) }, packet.ErrAbsent},
		{"IPv6 address in IPv4", all["udp4"], func(h *packet.Headers) error { return h.SetSrc(six) }, packet.ErrAbsent},
		{"IPv4 address in IPv6", all["udp6"], func(h *packet.Headers) error { return h.SetDst(four) }, packet.ErrAbsent},
		{"no address", all["udp6"], func(h *packet.Headers) error { return h.SetDst(netip.Addr{}) }, packet.ErrAbsent},
		{"port of ICMP", all["icmp4"], func(h *packet.Headers) error { return h.SetSrcPort(1) }, packet.ErrAbsent},
		{"window of UDP", all["udp4"], func(h *packet.Headers) error { return h.SetWindow(1) }, packet.ErrAbsent},
		{"checksum cut off", all["tcp4"][:30], func(h *packet.Headers) error { return h.SetSrc(four) }, packet.ErrTruncated},
		{"checksum cut off, port", all["tcp4"][:30], func(h *packet.Headers) error { return h.SetSrcPort(4) }, packet.ErrTruncated},
		{"extension headers cut off", all["chain6"][:44], func(h *packet.Headers) error { return h.SetSrc(six) }, packet.ErrTruncated},
		{"checksum in the next fragment", tinyFirst, func(h *packet.Headers) error { return h.SetDst(four) }, packet.ErrFragment},
		{"SCTP fragment", sctpFirst, func(h *packet.Headers) error { return h.SetDstPort(1) }, packet.ErrFragment},
		{"SCTP cut off", all["sctp4"][:40], func(h *packet.Headers) error { return h.SetDstPort(1) }, packet.ErrTruncated},
		{"packet ends in the TCP header", short, func(h *packet.Headers) error { return h.SetDst(four) }, packet.ErrMalformed},
		{"bad header", badIHL, func(h *packet.Headers) error { return h.SetDst(four) }, packet.ErrMalformed},
	} {
		var h packet.Headers
		before := bytes.Clone(c.b)
		h.Parse(c.b)
		if err := c.edit(&h); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if !bytes.Equal(c.b, before) {
			t.Errorf("%s: the packet was changed", c.name)
		}
	}
	// An IPv4-mapped address is an IPv4 address.
	var h packet.Headers
	h.Parse(all["udp4"])
	if err := h.SetSrc(netip.AddrFrom16(four.As16())); err != nil || h.Src != four {
		t.Errorf("mapped address: %v, %v", h.Src, err)
	}
}

func FuzzEdits(f *testing.F) {
	for _, b := range samples() {
		f.Add(b, uint8(0), uint64(0xffff))
		f.Add(b, uint8(7), uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, which uint8, v uint64) {
		e := edits[int(which)%len(edits)]
		before := b
		b = bytes.Clone(b)
		var h packet.Headers
		h.Parse(b)
		err := e.apply(&h, v) // on whatever it is: must stay within b, and change nothing when it fails
		if err != nil && !bytes.Equal(b, before) {
			t.Fatalf("%s failed with %v and changed %x to %x", e.name, err, before, b)
		}
		b = bytes.Clone(before)
		if packet.UpdateChecksums(b) != nil {
			return
		}
		h.Parse(b)
		if e.apply(&h, v) == nil && !h.IsFragment() {
			consistent(t, &h, e.name)
		}
	})
}
