package packet

import "encoding/binary"

// Protocols that carry packets.
const (
	ipInIP  Protocol = 4  // RFC 2003
	ip6InIP Protocol = 41 // RFC 2473, RFC 4213
	gre     Protocol = 47 // RFC 2784
)

const (
	etherIPv4        = 0x0800
	etherIPv6        = 0x86dd
	etherVLAN        = 0x8100
	etherServiceVLAN = 0x88a8
	etherBridging    = 0x6558 // a whole Ethernet frame
)

// GRE, RFC 2784 with RFC 2890:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-----------------+-----+-------------------------------+
//	|C|R|K|S|    Reserved0    | Ver |         Protocol Type         |
//	+-+-+-+-+-----------------+-----+-------------------------------+
//	|  Checksum, if C               |       Reserved1, if C         |
//	+-------------------------------+-------------------------------+
//	|                          Key, if K                            |
//	+---------------------------------------------------------------+
//	|                    Sequence number, if S                      |
//	+---------------------------------------------------------------+
const (
	greSize     = 4
	greChecksum = 4

	greHasChecksum = 0x8000
	greHasKey      = 0x2000
	greHasSequence = 0x1000
	greUnread      = 0x4007 // routing, which no kernel sends, and versions after 0
)

// findGRE looks at the GRE header at at. With a checksum of its own the header leaves that to the hardware, and the checksum is
// 0, unless one inside was left to it already: then the kernel computes the header's.
func findGRE(b []byte, at, end, depth int) (p pending, ok bool) {
	if at+greSize > end {
		return p, false
	}
	flags, typ := binary.BigEndian.Uint16(b[at:]), binary.BigEndian.Uint16(b[at+2:])
	if flags&greUnread != 0 {
		return p, false
	}
	inner := at + greSize
	for _, option := range [...]uint16{greHasChecksum, greHasKey, greHasSequence} {
		if flags&option != 0 {
			inner += 4
		}
	}
	if inner > end {
		return p, false
	}
	own := pending{at: at, end: end, gre: true}
	summed := flags&greHasChecksum != 0 && (typ == etherIPv4 || typ == etherIPv6 || typ == etherBridging)
	if summed && getSum(b, at+greChecksum) == 0 {
		return own, true
	}
	if p, ok = findEtherType(b, typ, inner, end, depth); ok {
		return p, true
	}
	return own, summed && fold(sum(0, b[at:end])) == 0xffff // it has been filled in
}

// findUDP looks at the data of a UDP datagram, from at to end, as each of the tunnels in turn. Their ports can be chosen, so
// the headers decide: those of the tunnel, and behind them a whole IP packet.
func findUDP(b []byte, at, end, depth int) (p pending, ok bool) {
	if p, ok = findPacket(b, at, end, depth); ok {
		return p, true // FOU, and GUE variant 1 (draft-ietf-intarea-gue): the packet alone
	}
	if p, ok = findGUE(b, at, end, depth); ok {
		return p, true
	}
	if at+vxlanSize > end {
		return p, false
	}
	h := b[at : at+vxlanSize]
	if h[0]&^vxlanPolicy == vxlanHasID {
		p, ok = findFrame(b, at+vxlanSize, end, depth)
	}
	if h[0] == vxlanHasID|vxlanHasNext {
		switch h[3] {
		case 1, 2: // IPv4, IPv6
			p, ok = findPacket(b, at+vxlanSize, end, depth)
		case 3: // Ethernet
			p, ok = findFrame(b, at+vxlanSize, end, depth)
		}
	}
	if !ok && h[0]>>6 == 0 {
		// Geneve, RFC 8926: version, length of the options in words, flags, protocol, id.
		p, ok = findEtherType(b, binary.BigEndian.Uint16(h[2:]), at+geneveSize+int(h[0]&0x3f)*4, end, depth)
	}
	return p, ok
}

// VXLAN (RFC 7348), with its group policy and generic protocol extensions, and Geneve (RFC 8926).
const (
	vxlanSize    = 8
	vxlanHasID   = 0x08
	vxlanHasNext = 0x04 // draft-ietf-nvo3-vxlan-gpe: the fourth byte says what is inside
	vxlanPolicy  = 0x80 // draft-smith-vxlan-group-policy

	geneveSize = 8 // without options
)

// findGUE looks at data as generic UDP encapsulation, variant 0: version and length of the options in words, IP protocol, flags.
func findGUE(b []byte, at, end, depth int) (p pending, ok bool) {
	const size, control = 4, 0x20
	if at+size > end || b[at]>>6 != 0 || b[at]&control != 0 {
		return p, false
	}
	inner := at + size + int(b[at]&0x1f)*4
	switch Protocol(b[at+1]) {
	case ipInIP, ip6InIP:
		return findPacket(b, inner, end, depth)
	case gre:
		if inner < end {
			return findGRE(b, inner, end, depth)
		}
	}
	return p, false
}
