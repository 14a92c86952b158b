package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"

	"ipq"
	"ipq/packet"
)

// shown are packets that Linux 6.18 made, with the line that tcpdump 4.99 prints
// for each (with -n, -t and -S). TestLineAgainstTcpdump asks the tcpdump of this
// machine the same, with and without -v.
var shown = []struct{ hex, line string }{
	{"4500002b2f2040004011f7910a0700010a0700029c40003700175354676f6c64656e20646174616772616d",
		"IP 10.7.0.1.40000 > 10.7.0.2.55: UDP, length 15"},
	{"600b1fe7001b1140fd070000000000000000000000000001fd0700000000000000000000000000029c400037001b81c0676f6c64656e20646174616772616d20736978",
		"IP6 fd07::1.40000 > fd07::2.55: UDP, length 19"},
	{"4500003c1d044000400609a80a0700010a070002d184005003fb40a900000000a002faf020d00000020405b40402080a871e7a94000000000103030a",
		"IP 10.7.0.1.53636 > 10.7.0.2.80: Flags [S], seq 66797737, win 64240, options [mss 1460,sackOK,TS val 2266921620 ecr 0,nop,wscale 10], length 0"},
	{"60011e2a00280640fd070000000000000000000000000001fd070000000000000000000000000002b2700050076f4a8f00000000a002fd205c240000020405a00402080ab0303fca000000000103030a",
		"IP6 fd07::1.45680 > fd07::2.80: Flags [S], seq 124734095, win 64800, options [mss 1440,sackOK,TS val 2955952074 ecr 0,nop,wscale 10], length 0"},
	{"6006d1a8000e3a40fd070000000000000000000000000001fd07000000000000000000000000000280003a2d12340001676f6c64656e",
		"IP6 fd07::1 > fd07::2: ICMP6, echo request, id 4660, seq 1, length 14"},
	{"6000000000083afffe80000000000000a2c64a9ed5cd7c5dff02000000000000000000000000000285003da700000000",
		"IP6 fe80::a2c6:4a9e:d5cd:7c5d > ff02::2: ICMP6, router solicitation, length 8"},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// builder makes packets for the cases that follow; all checksums are true.
type builder struct{ t testing.TB }

func (m builder) ip(version int, protocol byte, transport []byte) []byte {
	m.t.Helper()
	var b []byte
	if version == 4 {
		b = append([]byte{0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 64, protocol, 0, 0, 10, 7, 0, 1, 10, 7, 0, 2}, transport...)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	} else {
		b = append([]byte{0x60, 0, 0, 0, 0, 0, protocol, 64}, unhex(m.t, "fd070000000000000000000000000001fd070000000000000000000000000002")...)
		b = append(b, transport...)
		binary.BigEndian.PutUint16(b[4:], uint16(len(transport)))
	}
	if err := packet.UpdateChecksums(b); err != nil {
		m.t.Fatal(err)
	}
	return b
}

func (m builder) udp(src, dst uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 1, 1), payload...)
}

func (m builder) tcp(flags uint16, options, payload []byte) []byte {
	b := []byte{0x9c, 0x41, 0, 81, 0, 0, 0, 100, 0, 0, 0, 200, 0, 0, 1, 0, 0, 0, 0, 7}
	binary.BigEndian.PutUint16(b[12:], uint16(20+len(options))<<10|flags)
	return append(append(b, options...), payload...)
}

// cases are packets for which our text is that of tcpdump, byte for byte.
func cases(t testing.TB) map[string][]byte {
	m := builder{t}
	query := unhex(t, "123401000001000000000000"+"066970712d6f6b0474657374000001"+"0001")
	all := map[string][]byte{
		"udp":            m.ip(4, 17, m.udp(7, 9, []byte("data"))),
		"tcp data":       m.ip(4, 6, m.tcp(0x18, []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, []byte("hello"))),
		"tcp urg fin":    m.ip(4, 6, m.tcp(0x31, nil, nil)),
		"tcp ecn":        m.ip(6, 6, m.tcp(0xd0, nil, []byte("x"))),
		"tcp no flags":   m.ip(4, 6, m.tcp(0, nil, nil)),
		"tcp rst":        m.ip(4, 6, m.tcp(0x14, nil, nil)),
		"tcp sack":       m.ip(4, 6, m.tcp(0x10, []byte{1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4}, nil)),
		"tcp options":    m.ip(4, 6, m.tcp(0x02, []byte{2, 4, 5, 0xb4, 200, 4, 1, 2, 201, 2, 0, 0, 0, 0, 0, 0}, nil)),
		"echo":           m.ip(4, 1, []byte{8, 0, 0, 0, 0, 7, 0, 1, 'x'}),
		"echo reply":     m.ip(4, 1, []byte{0, 0, 0, 0, 0, 7, 0, 1, 'x'}),
		"echo reply 6":   m.ip(6, 58, []byte{129, 0, 0, 0, 0, 7, 0, 1, 'x'}),
		"icmp type":      m.ip(4, 1, []byte{42, 0, 0, 0, 0, 0, 0, 0}),
		"icmp exceeded":  m.ip(4, 1, append([]byte{11, 0, 0, 0, 0, 0, 0, 0}, m.ip(4, 17, m.udp(7, 9, nil))...)),
		"icmp port":      m.ip(4, 1, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, m.ip(4, 17, m.udp(7, 9, nil))...)),
		"icmp tcp port":  m.ip(4, 1, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, m.ip(4, 6, m.tcp(2, nil, nil))...)),
		"icmp host":      m.ip(4, 1, append([]byte{3, 1, 0, 0, 0, 0, 0, 0}, m.ip(4, 17, m.udp(7, 9, nil))...)),
		"icmp net":       m.ip(4, 1, append([]byte{3, 0, 0, 0, 0, 0, 0, 0}, m.ip(4, 17, m.udp(7, 9, nil))...)),
		"icmp admin":     m.ip(4, 1, append([]byte{3, 10, 0, 0, 0, 0, 0, 0}, m.ip(4, 17, m.udp(7, 9, nil))...)),
		"icmp frag":      m.ip(4, 1, append([]byte{3, 4, 0, 0, 0, 0, 5, 0xdc}, m.ip(4, 17, m.udp(7, 9, nil))...)),
		"icmp proto":     m.ip(4, 1, append([]byte{3, 2, 0, 0, 0, 0, 0, 0}, m.ip(4, 132, make([]byte, 12))...)),
		"icmp6 port":     m.ip(6, 58, append([]byte{1, 4, 0, 0, 0, 0, 0, 0}, m.ip(6, 17, m.udp(7, 9, nil))...)),
		"icmp6 admin":    m.ip(6, 58, append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, m.ip(6, 17, m.udp(7, 9, nil))...)),
		"icmp6 route":    m.ip(6, 58, append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, m.ip(6, 17, m.udp(7, 9, nil))...)),
		"icmp6 address":  m.ip(6, 58, append([]byte{1, 3, 0, 0, 0, 0, 0, 0}, m.ip(6, 17, m.udp(7, 9, nil))...)),
		"icmp6 big":      m.ip(6, 58, append([]byte{2, 0, 0, 0, 0, 0, 5, 0}, m.ip(6, 17, m.udp(7, 9, nil))...)),
		"dns query":      m.ip(4, 17, m.udp(40000, 53, query)),
		"dns query 6":    m.ip(6, 17, m.udp(40000, 53, query)),
		"dns edns":       m.ip(4, 17, m.udp(40000, 53, unhex(t, "123401200001000000000001"+"046e616d65047465737400001c0001"+"0000290200000000000000"))),
		"dns reply":      m.ip(4, 17, m.udp(53, 40000, unhex(t, "123481800001000200000000"+"046e616d6504746573740000010001"+"c00c000500010000003c0007"+"04616c6961c011"+"c00c000100010000003c0004c0000207"))),
		"dns nxdomain":   m.ip(4, 17, m.udp(53, 40000, unhex(t, "123485830001000000000000"+"046e616d6504746573740000010001"))),
		"dns refused aa": m.ip(6, 17, m.udp(53, 40000, unhex(t, "123484250001000000000000"+"046e616d65047465737400001c0001"))),
	}
	tos := m.ip(4, 17, m.udp(7, 9, []byte("data")))
	tos[1], tos[6] = 0xba, 0x40
	packet.UpdateChecksums(tos)
	all["tos"] = tos
	class := m.ip(6, 17, m.udp(7, 9, []byte("data")))
	class[0], class[1] = 0x6b, 0xa0
	all["class"] = class
	for name, at := range map[string]int{"bad ip sum": 10, "bad udp sum": 26} {
		b := m.ip(4, 17, m.udp(7, 9, []byte("data")))
		b[at] ^= 0x55
		all[name] = b
	}
	none := m.ip(4, 17, m.udp(7, 9, []byte("data")))
	none[26], none[27] = 0, 0
	all["no udp sum"] = none
	for name, b := range map[string][]byte{"bad tcp sum": all["tcp data"], "bad icmp sum": all["echo"]} {
		b = bytes.Clone(b)
		b[len(b)-1] ^= 0x55
		all[name] = b
	}
	icmp6 := bytes.Clone(all["echo reply 6"])
	icmp6[len(icmp6)-1] ^= 0x55
	all["bad icmp6 sum"] = icmp6
	return all
}

// text prints one packet without time, queue and verdict.
func text(l *lines, b []byte, length int) string {
	s := string(l.packet(nil, &event{Payload: b, Length: length, Verdict: ipq.Accept, Family: ipq.IPv4}))
	s = strings.TrimPrefix(s, "q0 ")
	s, _, _ = strings.Cut(s, "  accept")
	return s
}

func TestLine(t *testing.T) {
	for _, c := range shown {
		l := &lines{Names: names{Numeric: true}, Stamp: stamp{Form: stampNone}}
		b := unhex(t, c.hex)
		if got := text(l, b, len(b)); got != c.line {
			t.Errorf("%s\n got %s\nwant %s", c.hex, got, c.line)
		}
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 1, 123456789, time.Local)

func TestLineFrame(t *testing.T) {
	m := builder{t}
	e := event{Time: noon, Queue: 60000, ID: 7, Family: ipq.IPv4, Hook: ipq.Output, Out: "lo", Mark: 5, Verdict: ipq.Accept,
		Payload: m.ip(4, 17, m.udp(40000, 55, make([]byte, 34)))}
	e.Length = len(e.Payload)
	for _, c := range []struct {
		name string
		edit func(e *event, l *lines)
		want string
	}{
		{"the line of the manual", func(*event, *lines) {},
			"12:00:01.123456 q60000 out lo IP 10.7.0.1.40000 > 10.7.0.2.55: UDP, length 34  accept mark 0x5\n"},
		{"forwarded, modified, no mark", func(e *event, _ *lines) { e.In, e.Out, e.Mark, e.Modified = "eth0", "eth1", 0, true },
			"12:00:01.123456 q60000 in eth0 out eth1 IP 10.7.0.1.40000 > 10.7.0.2.55: UDP, length 34  accept modified\n"},
		{"dropped, no interface", func(e *event, _ *lines) { e.Out, e.Mark, e.Verdict = "", 0, ipq.Drop },
			"12:00:01.123456 q60000 IP 10.7.0.1.40000 > 10.7.0.2.55: UDP, length 34  drop\n"},
		{"an interface with a wicked name", func(e *event, _ *lines) { e.Out = "e\x1b[2J\x9b" },
			"12:00:01.123456 q60000 out e\\x1b[2J\\x9b IP 10.7.0.1.40000 > 10.7.0.2.55: UDP, length 34  accept mark 0x5\n"},
		{"verbose", func(_ *event, l *lines) { l.Verbose = true },
			"12:00:01.123456 q60000 out lo IP (tos 0x0, ttl 64, id 4660, offset 0, flags [none], proto UDP (17), length 62)\n" +
				"    10.7.0.1.40000 > 10.7.0.2.55: [udp sum ok] UDP, length 34  accept mark 0x5 hook output id 7\n"},
		{"checksum not filled in", func(e *event, l *lines) {
			l.Verbose, e.Pending, e.Payload = true, true, bytes.Clone(e.Payload)
			copy(e.Payload[26:], []byte{0x14, 0x4c}) // the sum of the pseudo-header
		},
			"12:00:01.123456 q60000 out lo IP (tos 0x0, ttl 64, id 4660, offset 0, flags [none], proto UDP (17), length 62)\n" +
				"    10.7.0.1.40000 > 10.7.0.2.55: [udp cksum not filled in yet] UDP, length 34  accept mark 0x5 hook output id 7\n"},
		{"checksum not filled in, inside of a tunnel", func(e *event, l *lines) {
			inner := m.ip(4, 17, m.udp(1, 2, nil))
			copy(inner[26:], []byte{0x14, 0x2a})
			tunnel := m.udp(40000, 5555, append([]byte(nil), inner...)) // FOU
			copy(tunnel[6:], []byte{0, 0})
			l.Verbose, e.Pending, e.Payload, e.Length = true, true, m.ip(4, 17, tunnel), 56
		},
			"12:00:01.123456 q60000 out lo IP (tos 0x0, ttl 64, id 4660, offset 0, flags [none], proto UDP (17), length 56)\n" +
				"    10.7.0.1.40000 > 10.7.0.2.5555: [no cksum] UDP, length 28  accept mark 0x5 hook output id 7\n"},
		{"tunnel of a checksum not filled in", func(e *event, l *lines) {
			inner := m.ip(4, 17, m.udp(1, 2, nil))
			e.Payload = m.ip(4, 17, m.udp(40000, 5555, inner)) // the kernel computes the tunnel's for the complete packet
			copy(e.Payload[28+26:], []byte{0x14, 0x2a})
			l.Verbose, e.Pending, e.Length = true, true, 56
		},
			"12:00:01.123456 q60000 out lo IP (tos 0x0, ttl 64, id 4660, offset 0, flags [none], proto UDP (17), length 56)\n" +
				"    10.7.0.1.40000 > 10.7.0.2.5555: [udp sum ok] UDP, length 28  accept mark 0x5 hook output id 7\n"},
		{"hex", func(e *event, l *lines) {
			l.Hex, e.Payload, e.Length = true, m.ip(4, 17, m.udp(1, 2, []byte("abc"))), 31
		},
			"12:00:01.123456 q60000 out lo IP 10.7.0.1.1 > 10.7.0.2.2: UDP, length 3  accept mark 0x5\n" +
				"\t0x0000:  4500 001f 1234 0000 4011 548a 0a07 0001\n\t0x0010:  0a07 0002 0001 0002 000b 2762 6162 63\n"},
		{"copy range in the UDP header", func(e *event, _ *lines) { e.Payload = e.Payload[:24] },
			"12:00:01.123456 q60000 out lo IP 10.7.0.1.40000 > 10.7.0.2.55: [|udp]  accept mark 0x5\n"},
		{"copy range at the end of the IP header", func(e *event, _ *lines) { e.Payload = e.Payload[:20] },
			"12:00:01.123456 q60000 out lo IP 10.7.0.1 > 10.7.0.2: [|udp]  accept mark 0x5\n"},
		{"copy range in the IP header", func(e *event, _ *lines) { e.Payload = e.Payload[:19] },
			"12:00:01.123456 q60000 out lo IP, length 62 [|ip]  accept mark 0x5\n"},
		{"copy range in the TCP options", func(e *event, _ *lines) {
			e.Payload = m.ip(4, 6, m.tcp(0x18, []byte{1, 1, 1, 1, 1, 1, 1, 1}, []byte("hello")))
			e.Length, e.Payload = len(e.Payload), e.Payload[:42]
		}, "12:00:01.123456 q60000 out lo IP 10.7.0.1.40001 > 10.7.0.2.81: Flags [P.], seq 100:105, ack 200, win 256, length 5  accept mark 0x5\n"},
		{"metadata only", func(e *event, _ *lines) { e.Payload = nil }, "12:00:01.123456 q60000 out lo ip packet, not copied  accept mark 0x5\n"},
		{"later fragment", func(e *event, _ *lines) { e.Payload = bytes.Clone(e.Payload); e.Payload[7] = 3 },
			"12:00:01.123456 q60000 out lo IP 10.7.0.1 > 10.7.0.2: frag (24|42) udp  accept mark 0x5\n"},
		{"first fragment", func(e *event, _ *lines) { e.Payload = bytes.Clone(e.Payload); e.Payload[6], e.Payload[24] = 0x20, 1 },
			"12:00:01.123456 q60000 out lo IP 10.7.0.1.40000 > 10.7.0.2.55: frag (0|42) UDP, length 290  accept mark 0x5\n"},
		{"another protocol", func(e *event, _ *lines) { e.Payload = m.ip(6, 132, make([]byte, 20)) },
			"12:00:01.123456 q60000 out lo IP6 fd07::1.0 > fd07::2.0: SCTP, length 20  accept mark 0x5\n"},
	} {
		e, l := e, &lines{Names: names{Numeric: true}}
		c.edit(&e, l)
		if got := string(l.packet(nil, &e)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestLineStamps(t *testing.T) {
	times := []time.Time{noon, noon.Add(1500 * time.Microsecond), noon.Add(-time.Second), noon.Add(26*time.Hour + 3*time.Minute)}
	for form, want := range map[stampForm][]string{
		stampClock: {"12:00:01.123456 ", "12:00:01.124956 ", "12:00:00.123456 ", "14:03:01.123456 "},
		stampNone:  {"", "", "", ""},
		stampEpoch: {epoch(times[0]) + ".123456 ", epoch(times[1]) + ".124956 ", epoch(times[2]) + ".123456 ", epoch(times[3]) + ".123456 "},
		stampDelta: {" 00:00:00.000000 ", " 00:00:00.001500 ", "-00:00:01.001500 ", " 26:03:01.000000 "},
		stampDate:  {"2026-11-23 12:00:01.123456 ", "2026-11-23 12:00:01.124956 ", "2026-11-23 12:00:00.123456 ", "2026-11-24 14:03:01.123456 "},
		stampSince: {" 00:00:00.000000 ", " 00:00:00.001500 ", "-00:00:01.000000 ", " 26:03:00.000000 "},
	} {
		s := stamp{Form: form}
		for i, at := range times {
			if got := string(s.append(nil, at)); got != want[i] {
				t.Errorf("form %d, time %d: %q, want %q", form, i, got, want[i])
			}
		}
	}
}

func epoch(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

func TestLineLoss(t *testing.T) {
	l := &lines{}
	for _, c := range []struct {
		x    loss
		want string
	}{
		{loss{QueueDropped: 10}, "lost 10 packets: the queue was full"},
		{loss{QueueDropped: 10, UserDropped: 2}, "lost 10 packets: the queue was full; lost 2 packets: the reader's buffer was full"},
		{loss{Unseen: 3, Hidden: 4}, "lost sight of 3 packets: they came too fast, or ipq did not run; did not show 4 packets: the output is too slow"},
		{loss{Stopped: 1, Flushed: 9}, "lost 9 packets or more: the kernel dropped what waited in the queue; lost sight of 1 packet: ipq was stopped"},
	} {
		c.x.Time = noon
		if got, want := string(l.loss(nil, &c.x)), "12:00:01.123456 "+c.want+"\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, c := range []struct {
		t    tally
		want string
	}{
		{tally{Accepted: 5, Dropped: 2, Modified: 1, Lost: 3}, "10 packets: 5 accepted, 2 dropped, 1 modified, 3 lost"},
		{tally{Dropped: 1}, "1 packet: 0 accepted, 1 dropped, 0 modified, 0 lost"},
		{tally{Accepted: 5, LostUnknown: true}, "5 packets: 5 accepted, 0 dropped, 0 modified, unknown lost"},
	} {
		if got := c.t.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Names come from files; -n leaves them out.
func TestLineNames(t *testing.T) {
	n := names{loaded: true, hosts: parseHosts("# comment\n10.7.0.2 web.test alias\n10.7.0.2 second\nbad line\nfd07::2\tsix\x1b.test # x\n"),
		services: parseServices("domain 53/udp # dns\ndomain 53/tcp\nwww 80/tcp http\nbad 99999/tcp\nx\n")}
	l := &lines{Names: n, Stamp: stamp{Form: stampNone}}
	m := builder{t}
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{m.ip(4, 17, m.udp(53, 80, nil)), "IP 10.7.0.1.domain > web.test.80: [|domain] (0)"},
		{m.ip(6, 17, m.udp(9, 8, nil)), `IP6 fd07::1.9 > six\x1b.test.8: UDP, length 0`},
	} {
		if got := text(l, c.b, len(c.b)); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	l.Names = names{Numeric: true}
	b := m.ip(4, 6, m.tcp(2, nil, nil))
	if got := text(l, b, len(b)); !strings.HasPrefix(got, "IP 10.7.0.1.40001 > 10.7.0.2.81: ") {
		t.Error(got)
	}
}

// Whatever a stranger sends, a line is one line of visible ASCII (with -v, two), and the record of the same packet is
// one JSON object that says the same.
func FuzzLine(f *testing.F) {
	for _, b := range cases(f) {
		f.Add(b, uint16(len(b)), uint8(0), "eth0")
	}
	f.Fuzz(func(t *testing.T, b []byte, length uint16, flags uint8, name string) {
		e := event{Time: noon, Family: ipq.IPv6, Payload: b, Length: int(length), Verdict: ipq.Accept, In: name, Out: name,
			Pending: flags&4 != 0, Mark: uint32(flags), Modified: flags&8 != 0}
		l := &lines{Names: names{Numeric: true}, Verbose: flags&1 != 0, Hex: flags&2 != 0}
		before := bytes.Clone(b)
		got := l.packet(nil, &e)
		if !bytes.Equal(b, before) {
			t.Fatal("printing changed the packet")
		}
		rows := 1
		if l.Verbose && l.headers.Version == 4 {
			rows = 2
		}
		if l.Hex {
			rows += (len(b) + 15) / 16
		}
		if n := bytes.Count(got, []byte("\n")); n != rows || got[len(got)-1] != '\n' {
			t.Fatalf("%d rows, want %d: %q", n, rows, got)
		}
		for i, c := range got {
			if c < ' ' && c != '\n' && !(c == '\t' && got[i-1] == '\n') || c > '~' {
				t.Fatalf("byte %#x in %q", c, got)
			}
		}
		if again := l.packet(nil, &e); l.Stamp.Form == stampClock && !bytes.Equal(again, got) {
			t.Fatalf("second time %q, first %q", again, got)
		}
		checkRecord(t, &e)
	})
}
