package packet_test

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// unhex reads a packet written as hexadecimal digits with any white space.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ip4 puts an IPv4 header before transport, without a checksum.
func ip4(protocol byte, transport []byte) []byte {
	return ip4Options(protocol, nil, transport)
}

func ip4Options(protocol byte, options, transport []byte) []byte {
	header := 20 + len(options)
	b := []byte{0x40 | byte(header/4), 0, 0, 0, 0x12, 0x34, 0, 0, 64, protocol, 0, 0, 10, 7, 0, 1, 10, 7, 0, 2}
	b = append(append(b, options...), transport...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// ip6 puts an IPv6 header before rest, whose first header is next.
func ip6(next byte, rest []byte) []byte {
	b := []byte{0x60, 0, 0, 0, 0, 0, next, 64}
	src, dst := netip.MustParseAddr("fd07::1").As16(), netip.MustParseAddr("fd07::2").As16()
	b = append(append(append(b, src[:]...), dst[:]...), rest...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

func udp(src, dst uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0xff, 0xff), payload...)
}

func tcp(src, dst uint16, options, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = append(b, 1, 2, 3, 4, 5, 6, 7, 8, byte(20+len(options))<<2, 0x18, 0x10, 0x00, 0, 0, 0, 9)
	return append(append(b, options...), payload...)
}

func sctp(src, dst uint16, chunks []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	return append(append(b, 9, 8, 7, 6, 0, 0, 0, 0), chunks...)
}

func echo(kind byte, id, seq uint16, data []byte) []byte {
	b := []byte{kind, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, seq)
	return append(b, data...)
}

// addr6 is the 16 bytes of an address.
func addr6(s string) []byte {
	a := netip.MustParseAddr(s).As16()
	return a[:]
}

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// Extension headers, each followed by next.
func hopByHop6(next byte) []byte { return []byte{next, 0, 5, 2, 0, 0, 1, 0} } // router alert
func fragment6(next byte, offset uint16, more bool, id uint32) []byte {
	field := offset
	if more {
		field |= 1
	}
	b := binary.BigEndian.AppendUint16([]byte{next, 0}, field)
	return binary.BigEndian.AppendUint32(b, id)
}
func home6(next byte, home string) []byte {
	return join([]byte{next, 2, 1, 2, 0, 0, 0xc9, 16}, addr6(home))
}
func route6(next, kind, left byte, stops ...string) []byte {
	b := []byte{next, byte(2 * len(stops)), kind, left, 0, 0, 0, 0}
	for _, s := range stops {
		b = append(b, addr6(s)...)
	}
	return b
}
func auth6(next byte) []byte {
	return join([]byte{next, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, make([]byte, 12))
}

// samples are packets of every shape that the package knows, with arbitrary checksums. Fuzzing starts from them.
func samples() map[string][]byte {
	data := []byte("a quick brown fox, odd")
	u, tc := udp(40000, 53, data), tcp(40001, 80, []byte{2, 4, 5, 0xb4, 1, 3, 3, 7}, data)
	noSum := udp(1, 2, data)
	noSum[6], noSum[7] = 0, 0
	lite := udp(3, 4, data)
	litePart := udp(5, 6, data)
	lite[4], lite[5], litePart[4], litePart[5] = 0, 0, 0, 12
	first4, later4, df := ip4(17, u), ip4(17, data[:16]), ip4(6, tc)
	first4[6], later4[7], df[6] = 0x20, 3, 0x40
	authLater := ip4(51, join(auth6(17), u))
	authLater[7] = 4
	surplus := udp(7, 8, append(data, 1, 2, 3, 4))
	surplus[5] -= 4
	return map[string][]byte{
		"udp4":          ip4(17, u),
		"udp4 no sum":   ip4(17, noSum),
		"udp4 empty":    ip4(17, udp(1, 2, nil)),
		"udp4 surplus":  ip4(17, surplus),
		"tcp4":          df,
		"icmp4":         ip4(1, echo(8, 77, 1, data)),
		"icmp4 zeros":   ip4(1, make([]byte, 16)),
		"igmp4":         ip4(2, []byte{0x16, 0, 0, 0, 224, 0, 0, 251}),
		"sctp4":         ip4(132, sctp(9, 10, data)),
		"udplite4":      ip4(136, lite),
		"udplite4 part": ip4(136, litePart),
		"gre4":          ip4(47, data),
		"options4":      ip4Options(17, []byte{1, 7, 3, 0}, u),
		"route4":        ip4Options(17, []byte{131, 11, 4, 192, 0, 2, 1, 192, 0, 2, 9, 0}, u),
		"route4 done":   ip4Options(17, []byte{137, 11, 12, 192, 0, 2, 1, 192, 0, 2, 9, 0}, u),
		"auth4":         ip4(51, join(auth6(17), u)),
		"first4":        first4,
		"later4":        later4,
		"padded4":       append(ip4(17, u), make([]byte, 6)...),
		"udp6":          ip6(17, u),
		"udp6 no sum":   ip6(17, noSum),
		"tcp6":          ip6(6, tc),
		"icmp6":         ip6(58, echo(128, 78, 2, data)),
		"sctp6":         ip6(132, sctp(11, 12, data)),
		"udplite6":      ip6(136, lite),
		"none6":         ip6(59, nil),
		"hop6":          ip6(0, join(hopByHop6(58), []byte{143, 0, 0, 0, 0, 0, 0, 0})),
		"chain6":        ip6(0, join(hopByHop6(60), []byte{51, 0, 1, 4, 0, 0, 0, 0}, auth6(6), tc)),
		"home6":         ip6(60, join(home6(17, "fd99::1"), u)),
		"route6 type 0": ip6(43, join(route6(6, 0, 1, "fd08::1", "fd08::2"), tc)),
		"route6 type 2": ip6(43, join(route6(17, 2, 1, "fd08::3"), u)),
		"segments6":     ip6(43, join(route6(17, 4, 1, "fd08::4", "fd08::5"), u)),
		"route6 done":   ip6(43, join(route6(17, 4, 0, "fd08::4", "fd08::5"), u)),
		"route6 odd":    ip6(43, join(route6(17, 3, 1, "fd08::6"), u)),
		"route6 uneven": ip6(43, join([]byte{17, 3, 0, 1, 0, 0, 0, 0}, make([]byte, 24), u)),
		"nested6":       ip6(44, join(fragment6(44, 0, true, 97), fragment6(17, 0, false, 96), u)),
		"auth4 later":   authLater,
		"auth4 more":    ip4(51, join(auth6(60), []byte{17, 0, 1, 4, 0, 0, 0, 0}, u)),
		"first6":        ip6(44, join(fragment6(17, 0, true, 99), u)),
		"later6":        ip6(44, join(fragment6(17, 24, false, 99), data)),
		"atomic6":       ip6(44, join(fragment6(17, 0, false, 98), u)),
	}
}

// tcpSegment and friends for benchmarks: n bytes in all.
func udp4OfSize(n int) []byte { return ip4(17, udp(1, 2, make([]byte, n-28))) }
func tcp4OfSize(n int) []byte { return ip4(6, tcp(1, 2, nil, make([]byte, n-40))) }
func udp6OfSize(n int) []byte { return ip6(17, udp(1, 2, make([]byte, n-48))) }
