package packet_test

import (
	"bytes"
	"net/netip"
	"testing"

	"ipq/packet"
)

// summary is what the tests look at of a Headers.
type summary struct {
	protocol                  packet.Protocol
	transport, payload, end   int
	sport, dport              uint16
	fragment                  bool
	has                       packet.Fields
	faults                    packet.Faults
	seq, ack                  uint32
	flags                     packet.TCPFlags
	window, udpLength, id, sq uint16
	kind, code                uint8
}

func summarise(h *packet.Headers) summary {
	var has packet.Fields
	for f := packet.HasPorts; f <= packet.HasChecksum; f <<= 1 {
		if h.Has(f) {
			has |= f
		}
	}
	return summary{h.Protocol, h.TransportOffset, h.PayloadOffset, h.PayloadEnd, h.SrcPort, h.DstPort, h.IsFragment(), has, h.Faults,
		h.Seq, h.Ack, h.Flags, h.Window, h.UDPLength, h.ICMPID, h.ICMPSeq, h.ICMPType, h.ICMPCode}
}

func TestParse(t *testing.T) {
	const (
		hasUDP = packet.HasPorts | packet.HasUDP | packet.HasChecksum
		hasTCP = packet.HasPorts | packet.HasTCP | packet.HasChecksum
	)
	aTCP := func(s summary) summary {
		s.protocol, s.sport, s.dport, s.has = packet.TCP, 40001, 80, hasTCP
		s.seq, s.ack, s.flags, s.window = 0x01020304, 0x05060708, packet.PSH|packet.ACK, 0x1000
		return s
	}
	aUDP := func(s summary) summary {
		s.protocol, s.sport, s.dport, s.has, s.udpLength = packet.UDP, 40000, 53, hasUDP, 30
		return s
	}
	want := map[string]summary{
		"udp4":          aUDP(summary{transport: 20, payload: 28, end: 50}),
		"udp4 surplus":  {protocol: packet.UDP, transport: 20, payload: 28, end: 50, sport: 7, dport: 8, has: hasUDP, udpLength: 30},
		"udp4 empty":    {protocol: packet.UDP, transport: 20, payload: 28, end: 28, sport: 1, dport: 2, has: hasUDP, udpLength: 8},
		"padded4":       aUDP(summary{transport: 20, payload: 28, end: 50}),
		"options4":      aUDP(summary{transport: 24, payload: 32, end: 54}),
		"auth4":         aUDP(summary{transport: 44, payload: 52, end: 74}),
		"tcp4":          aTCP(summary{transport: 20, payload: 48, end: 70}),
		"tcp6":          aTCP(summary{transport: 40, payload: 68, end: 90}),
		"chain6":        aTCP(summary{transport: 80, payload: 108, end: 130}),
		"segments6":     aUDP(summary{transport: 80, payload: 88, end: 110}),
		"sctp4":         {protocol: packet.SCTP, transport: 20, payload: 32, end: 54, sport: 9, dport: 10, has: packet.HasPorts},
		"udplite4 part": {protocol: packet.UDPLite, transport: 20, payload: 28, end: 50, sport: 5, dport: 6, has: packet.HasPorts | packet.HasChecksum},
		"icmp4": {protocol: packet.ICMP, transport: 20, payload: 28, end: 50, id: 77, sq: 1, kind: 8,
			has: packet.HasICMP | packet.HasICMPID | packet.HasChecksum},
		"icmp6": {protocol: packet.ICMPv6, transport: 40, payload: 48, end: 70, id: 78, sq: 2, kind: 128,
			has: packet.HasICMP | packet.HasICMPID | packet.HasChecksum},
		"hop6":        {protocol: packet.ICMPv6, transport: 48, payload: 56, end: 56, kind: 143, has: packet.HasICMP | packet.HasChecksum},
		"gre4":        {protocol: 47, transport: 20, payload: 20, end: 42},
		"none6":       {protocol: 59, transport: 40, payload: 40, end: 40},
		"first4":      aUDP(summary{transport: 20, payload: 28, end: 50, fragment: true}),
		"later4":      {protocol: packet.UDP, transport: 20, payload: 20, end: 36, fragment: true},
		"first6":      aUDP(summary{transport: 48, payload: 56, end: 78, fragment: true}),
		"auth4 later": {protocol: 51, transport: 20, payload: 20, end: 74, fragment: true},
		"later6":      {protocol: packet.UDP, transport: 48, payload: 48, end: 70, fragment: true},
		"atomic6":     aUDP(summary{transport: 48, payload: 56, end: 78}),
	}
	all := samples()
	var h packet.Headers
	for name, w := range want {
		h.Parse(all[name])
		if got := summarise(&h); got != w {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, w)
		}
	}
}

func TestParseIPFields(t *testing.T) {
	var h packet.Headers
	b := samples()["tcp4"]
	b[1] = 0xb9
	h.Parse(b)
	if h.Version != 4 || h.TOS != 0xb9 || h.TTL != 64 || h.ID != 0x1234 || !h.DontFragment || h.Length != 70 ||
		h.Src != netip.MustParseAddr("10.7.0.1") || h.Dst != netip.MustParseAddr("10.7.0.2") {
		t.Errorf("IPv4: %+v", h)
	}
	if got := h.TCPOptions(); !bytes.Equal(got, []byte{2, 4, 5, 0xb4, 1, 3, 3, 7}) {
		t.Errorf("TCP options %x", got)
	}
	b = samples()["later6"]
	b[0], b[1], b[2], b[3] = 0x6b, 0x9a, 0xbc, 0xde
	h.Parse(b)
	if h.Version != 6 || h.TOS != 0xb9 || h.TTL != 64 || h.FlowLabel != 0xabcde || h.ID != 99 || h.FragmentOffset != 24 || h.Length != 70 ||
		h.Src != netip.MustParseAddr("fd07::1") || h.Dst != netip.MustParseAddr("fd07::2") {
		t.Errorf("IPv6: %+v", h)
	}
	h.Parse(samples()["options4"])
	if got := h.IPOptions(); !bytes.Equal(got, []byte{1, 7, 3, 0}) {
		t.Errorf("IPv4 options %x", got)
	}
}

func TestParseFaults(t *testing.T) {
	all := samples()
	edit := func(name string, at int, v ...byte) []byte {
		b := bytes.Clone(all[name])
		copy(b[at:], v)
		return b
	}
	var h packet.Headers
	for _, c := range []struct {
		name string
		b    []byte
		want packet.Faults
	}{
		{"nothing", nil, packet.FaultVersion},
		{"version 5", []byte{0x50, 0}, packet.FaultVersion},
		{"ethernet", make([]byte, 60), packet.FaultVersion},
		{"half a header", all["udp4"][:19], packet.FaultTruncated},
		{"half a header, IPv6", all["udp6"][:39], packet.FaultTruncated},
		{"copy range", all["tcp4"][:64], packet.FaultTruncated},
		{"copy range in the TCP header", all["tcp4"][:30], packet.FaultTruncated},
		{"copy range in the extension headers", all["chain6"][:50], packet.FaultTruncated},
		{"header length 16", edit("udp4", 0, 0x44), packet.FaultHeader},
		{"header longer than the packet", edit("udp4 empty", 0, 0x4f), packet.FaultHeader},
		{"total length 19", edit("udp4", 2, 0, 19), packet.FaultHeader},
		{"extension past the end", edit("hop6", 41, 9), packet.FaultHeader},
		{"TCP data offset 16", edit("tcp4", 32, 0x40), packet.FaultTransport},
		{"TCP data offset past the end", edit("tcp4", 32, 0xf0), packet.FaultTransport},
		{"TCP header past the end", edit("tcp4", 2, 0, 39), packet.FaultTransport},
		{"UDP length 7", edit("udp4", 24, 0, 7), packet.FaultTransport},
		{"UDP length past the end", edit("udp4", 24, 0, 31), packet.FaultTransport},
		{"UDP length past the end of a first fragment", edit("first4", 24, 9, 9), 0},
		{"UDP-Lite coverage 7", edit("udplite4", 24, 0, 7), packet.FaultTransport},
		{"TCP data offset past the end, and a copy range", edit("tcp4", 32, 0xf0)[:60], packet.FaultTruncated | packet.FaultTransport},
		{"length 0, as in BIG TCP", edit("tcp4", 2, 0, 0), 0},
		{"length 0, as in BIG TCP over IPv6", edit("tcp6", 4, 0, 0), 0},
	} {
		h.Parse(c.b)
		if h.Faults != c.want {
			t.Errorf("%s: faults %04b, want %04b", c.name, h.Faults, c.want)
		}
		if h.Faults&packet.FaultHeader != 0 && h.Has(packet.HasPorts) {
			t.Errorf("%s: ports were read behind a bad header", c.name)
		}
	}
}

// A jumbogram (here: BIG TCP as kernels before 6.20 make it) cut by the copy range still gives its ports.
func TestParseJumbogram(t *testing.T) {
	b := ip6(0, join([]byte{6, 0, 0xc2, 4, 0, 2, 0, 0}, tcp(1, 2, nil, []byte("start"))))
	b[4], b[5] = 0, 0
	var h packet.Headers
	h.Parse(b)
	if h.Length != 40+0x20000 || h.DstPort != 2 || h.Faults != packet.FaultTruncated || string(h.Payload()) != "start" {
		t.Errorf("%+v", h)
	}
	whole := append(bytes.Clone(b), make([]byte, 40+0x20000-len(b))...)
	agree(t, whole)
	if packet.CheckLengths(whole) == nil {
		t.Error("a jumbogram passes for a packet that can be edited")
	}
	b[45] = 0 // a jumbo length that would have fitted the header: not one
	h.Parse(b)
	if h.Length != len(b) || !h.Has(packet.HasTCP) {
		t.Errorf("%+v", h)
	}
}

// checkParse states what must hold for every parse of every byte string.
func checkParse(t *testing.T, b []byte) {
	t.Helper()
	var h packet.Headers
	h.Parse(b)
	if 0 > h.TransportOffset || h.TransportOffset > h.PayloadOffset || h.PayloadOffset > h.PayloadEnd || h.PayloadEnd > len(b) {
		t.Fatalf("offsets of %x: %+v", b, summarise(&h))
	}
	if len(h.Payload()) != h.PayloadEnd-h.PayloadOffset {
		t.Fatalf("payload of %x", b)
	}
	if h.FragmentOffset != 0 && summarise(&h).has != 0 {
		t.Fatalf("a later fragment has transport fields: %x", b)
	}
	h.IPOptions()
	h.TCPOptions()

	// Stable: a value used before, and other bytes behind the slice, change nothing.
	dirty := h
	dirty.Parse([]byte{0x45, 1, 2, 3})
	dirty.Parse(append(bytes.Clone(b), 0xaa, 0xbb, 0xcc, 0xdd)[:len(b)])
	if summarise(&dirty) != summarise(&h) || dirty.Src != h.Src || dirty.Dst != h.Dst || dirty.Length != h.Length {
		t.Fatalf("parsing %x again: %+v, was %+v", b, summarise(&dirty), summarise(&h))
	}

	// Agreement with CheckLengths and UpdateChecksums. A length of 0 is readable but wrong; RFC 9868 allows surplus bytes.
	unstated := len(b) > 5 && (h.Version == 4 && b[2]|b[3] == 0 || h.Version == 6 && b[4]|b[5] == 0 && len(b) > 40)
	err := packet.CheckLengths(b)
	sound := h.Faults == 0 && h.Length == len(b) && !unstated
	if h.IsFragment() {
		sound = h.Faults&^packet.FaultTransport == 0 && h.Length == len(b) && !unstated
	}
	if (err == nil) != sound {
		t.Fatalf("CheckLengths(%x) = %v, faults %04b, length %d of %d", b, err, h.Faults, h.Length, len(b))
	}

	// A shorter copy range gives a part of what the whole gives, and nothing else.
	if unstated {
		return
	}
	for n := min(len(b), 200); n >= 0; n-- {
		var cut packet.Headers
		cut.Parse(b[:n])
		if cut.Version != 0 && (cut.Src != h.Src || cut.Dst != h.Dst || cut.TTL != h.TTL || cut.TOS != h.TOS || cut.Length != h.Length) {
			t.Fatalf("cut to %d, the IP header of %x reads otherwise", n, b)
		}
		c, w := summarise(&cut), summarise(&h)
		if c.has&^w.has != 0 {
			t.Fatalf("cut to %d, %x has %06b, whole it has %06b", n, b, c.has, w.has)
		}
		if cut.Has(packet.HasPorts) && (c.sport != w.sport || c.dport != w.dport || c.transport != w.transport) ||
			cut.Has(packet.HasTCP) && (c.seq != w.seq || c.ack != w.ack || c.flags != w.flags || c.window != w.window) ||
			cut.Has(packet.HasUDP) && c.udpLength != w.udpLength ||
			cut.Has(packet.HasICMP) && (c.kind != w.kind || c.code != w.code) ||
			cut.Has(packet.HasICMPID) && (c.id != w.id || c.sq != w.sq) ||
			cut.Has(packet.HasChecksum) && cut.Checksum != h.Checksum {
			t.Fatalf("cut to %d, the transport header of %x reads otherwise: %+v, whole %+v", n, b, c, w)
		}
		if n < h.Length && cut.Faults&(packet.FaultTruncated|packet.FaultVersion|packet.FaultHeader) == 0 {
			t.Fatalf("cut to %d of %d, %x is not called truncated", n, h.Length, b)
		}
	}
}

func TestParseProperties(t *testing.T) {
	for _, b := range samples() {
		checkParse(t, b)
	}
	for _, text := range golden {
		checkParse(t, unhex(t, text))
	}
}

func FuzzParse(f *testing.F) {
	for _, b := range samples() {
		f.Add(b)
	}
	f.Fuzz(checkParse)
}
