package filter_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"

	"ipq/rules"
)

// model is a packet as the kernel's rules see it, from which the bytes are made.
type model struct {
	version   uint8
	src, dst  netip.Addr
	protocol  uint8 // the transport
	known     bool  // the kernel finds the transport protocol
	transport int   // bytes of the transport header that are there; none of a later fragment
	srcPort   uint16
	dstPort   uint16
	bytes     []byte
}

// port is a port of the packet, if a rule can load it.
func (m model) port(source bool) (uint16, bool) {
	if source {
		return m.srcPort, m.transport >= 4
	}
	return m.dstPort, m.transport >= 4
}

// Values that packets and filters have, few enough for them to meet.
var (
	addresses4 = []string{"10.0.0.1", "10.0.0.2", "10.1.0.1", "192.0.2.9", "0.0.0.0", "255.255.255.255"}
	addresses6 = []string{"fd00::1", "fd00::2", "fd00:1::1", "2001:db8::9", "::", "ffff::1"}
	nets4      = []string{"10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/30", "0.0.0.0/0", "128.0.0.0/1", "192.0.2.9/32"}
	nets6      = []string{"fd00::/16", "fd00::/64", "fd00::/127", "::/0", "8000::/1", "2001:db8::9/128"}
	portPool   = []uint16{0, 22, 53, 80, 81, 443, 65535}
	// TCP, UDP, SCTP, ICMP, ICMPv6; UDP-Lite and DCCP, which have ports for rules but not for filters; GRE; AH.
	protocolPool = []uint8{6, 6, 6, 17, 17, 17, 132, 1, 58, 136, 33, 47, 51}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// randomPacket is a whole packet, well formed up to where it ends.
func randomPacket(r *rand.Rand) model {
	m := model{version: 4, protocol: pick(r, protocolPool), known: true, srcPort: pick(r, portPool), dstPort: pick(r, portPool)}
	pool := addresses4
	if r.IntN(2) == 0 {
		m.version, pool = 6, addresses6
	}
	m.src, m.dst = netip.MustParseAddr(pick(r, pool)), netip.MustParseAddr(pick(r, pool))
	header := make([]byte, 24)
	binary.BigEndian.PutUint16(header, m.srcPort)
	binary.BigEndian.PutUint16(header[2:], m.dstPort)
	header[4], header[5], header[12] = 0, 24, 5<<4 // a UDP length, a TCP offset
	m.transport = len(header)
	switch r.IntN(8) {
	case 0:
		m.transport = r.IntN(5)
	case 1:
		m.transport = r.IntN(len(header))
	}
	offset, more := uint16(0), false
	switch r.IntN(8) {
	case 0:
		offset = uint16(1 + r.IntN(100))
	case 1:
		more = true
	}
	body := header[:m.transport]
	if m.version == 4 {
		m.bytes = packet4(r, m, offset, more, body)
	} else {
		m.bytes = packet6(r, &m, offset, more, body)
	}
	if offset != 0 || !slices.Contains([]uint8{6, 17, 132, 136, 33}, m.protocol) {
		m.transport = 0
	}
	return m
}

func packet4(r *rand.Rand, m model, offset uint16, more bool, body []byte) []byte {
	options := 4 * r.IntN(3)
	b := make([]byte, 20+options)
	for i := range options {
		b[20+i] = 1 // no operation
	}
	b[0], b[8], b[9] = 0x40|byte(len(b)/4), 64, m.protocol
	if more {
		offset |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], offset)
	copy(b[12:], m.src.AsSlice())
	copy(b[16:], m.dst.AsSlice())
	b = append(b, body...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// packet6 is an IPv6 packet with some extension headers. What the kernel finds behind them it says in m.
func packet6(r *rand.Rand, m *model, offset uint16, more bool, body []byte) []byte {
	var chain []byte // the numbers of the extension headers
	for range r.IntN(3) {
		chain = append(chain, pick(r, []byte{60, 43, 51}))
	}
	if r.IntN(4) == 0 {
		chain = append([]byte{0}, chain...)
	}
	if offset != 0 || more || r.IntN(8) == 0 {
		chain = slices.Insert(chain, r.IntN(len(chain)+1), 44)
	}
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, m.protocol, 64
	copy(b[8:], m.src.AsSlice())
	copy(b[24:], m.dst.AsSlice())
	next := func(i int) byte {
		if i < len(chain) {
			return chain[i]
		}
		return m.protocol
	}
	b[6] = next(0)
	for i, kind := range chain {
		h := make([]byte, 8)
		h[0] = next(i + 1)
		switch kind {
		case 44:
			field := offset << 3
			if more {
				field |= 1
			}
			binary.BigEndian.PutUint16(h[2:], field)
		case 51:
			h[1] = 4 // 24 bytes
			h = append(h, make([]byte, 16)...)
		default:
			h[1] = byte(r.IntN(2))
			h = append(h, make([]byte, 8*h[1])...)
		}
		b = append(b, h...)
		if kind == 44 && offset != 0 { // the rest of the headers is in the first fragment
			break
		}
	}
	start := len(b)
	b = append(b, body...)
	if len(b) > 40 && r.IntN(32) == 0 {
		// It ends within the headers. The kernel still believes an extension header of which two bytes are there.
		b = b[:40+r.IntN(len(b)-40)]
		m.transport = max(0, len(b)-start)
	}
	m.protocol, m.known = walk(b) // an authentication header ends it
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

// walk finds the transport protocol of an IPv6 packet as ipv6_find_hdr does.
func walk(b []byte) (protocol uint8, known bool) {
	at, p := 40, b[6]
	for slices.Contains([]byte{0, 43, 44, 60}, p) {
		if len(b) < at+2 {
			return 0, false
		}
		size := 8 + 8*int(b[at+1])
		if p == 44 {
			size = 8
			if len(b) < at+4 {
				return 0, false
			}
			if binary.BigEndian.Uint16(b[at+2:]) >= 8 {
				return b[at], !slices.Contains([]byte{0, 43, 44, 51, 59, 60}, b[at])
			}
		}
		p, at = b[at], at+size
	}
	return p, true
}

// takes reports whether the kernel's rules for a match take the packet; it is what package rules says about a match.
func takes(m rules.Match, p model) bool {
	if m.Family != 0 && (m.Family == rules.IPv4) != (p.version == 4) {
		return false
	}
	if len(m.Protocols) != 0 && !(p.known && slices.Contains(m.Protocols, rules.Protocol(p.protocol))) {
		return false
	}
	in := func(list []netip.Prefix, a netip.Addr) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(n netip.Prefix) bool { return n.Contains(a) })
	}
	port := func(list []rules.PortRange, source bool) bool {
		n, ok := p.port(source)
		ok = ok && p.known && slices.Contains([]uint8{6, 17, 33, 132, 136}, p.protocol)
		return len(list) == 0 || ok && slices.ContainsFunc(list, func(r rules.PortRange) bool { return r.First <= n && n <= r.Last })
	}
	return in(m.Src, p.src) && in(m.Dst, p.dst) && port(m.SrcPorts, true) && port(m.DstPorts, false) &&
		!slices.ContainsFunc(m.Except, func(e rules.Match) bool { return takes(e, p) })
}

func anyTakes(list []rules.Match, p model) bool {
	return slices.ContainsFunc(list, func(m rules.Match) bool { return takes(m, p) })
}
