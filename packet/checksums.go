package packet

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// UpdateChecksums computes every checksum of the packet b anew, from all its bytes, and stores them: the IPv4 header's, and
// that of TCP, UDP, UDP-Lite, ICMP, ICMPv6, IGMP or SCTP, behind any IPv6 extension headers. Whatever was in the fields is not
// looked at, so it also completes a packet whose checksum was left to the hardware.
//
// One value is looked at: an IPv4 UDP checksum of 0 means that the sender made none, and stays 0. (A checksum left to the
// hardware is never 0.) IPv6 knows no such thing, so a 0 there is replaced. A UDP checksum that comes out as 0 is sent as
// 0xffff.
//
// Of a fragment only the IPv4 header's checksum is computed: the transport checksum covers the other fragments too.
// Bytes of b after the length that the IP header states are ignored.
//
// On error nothing has been changed; the error wraps ErrNotIP, ErrTruncated or ErrMalformed, and says which length is wrong.
func UpdateChecksums(b []byte) error {
	var l layout
	l.locate(b)
	if err := l.whole(b); err != nil {
		return err
	}
	if !l.fragmented() {
		if err := l.updateTransport(b); err != nil {
			return err
		}
	}
	if l.version == 4 {
		updateHeader4(b[:int(b[0]&15)*4])
	}
	return nil
}

var errFinalDestination = fmt.Errorf("%w: a routing header of an unknown kind has segments left, so the final destination, "+
	"which the checksum covers, cannot be known", ErrMalformed)

// updateHeader4 computes the checksum of an IPv4 header.
func updateHeader4(header []byte) {
	acc := little.Uint64(header)&0xffffffff + little.Uint64(header)>>32
	acc += uint64(little.Uint16(header[ip4TTL:])) // and the protocol; the checksum itself counts as 0
	acc += uint64(little.Uint32(header[ip4Src:])) + uint64(little.Uint32(header[ip4Dst:]))
	if len(header) > ip4Size {
		acc = sum(acc, header[ip4Size:])
	}
	putSum(header, ip4Checksum, ^fold(acc))
}

func (l *layout) updateTransport(b []byte) error {
	t := b[l.transport:l.end]
	n := len(t)
	switch l.protocol {
	case TCP:
		if n < tcpSize {
			return l.short(n, tcpSize)
		}
	case UDP:
		if n < udpSize {
			return l.short(n, udpSize)
		}
		n = int(binary.BigEndian.Uint16(t[udpLength:]))
		if n < udpSize || n > len(t) {
			return udpLengthError(n, len(t))
		}
		if l.version == 4 && getSum(t, udpChecksum) == 0 {
			return nil
		}
		t = t[:n]
	case UDPLite:
		if n < udpSize {
			return l.short(n, udpSize)
		}
		if !coverageFits(t, n) {
			return coverageError(t)
		}
		if coverage := binary.BigEndian.Uint16(t[udpLength:]); coverage != 0 {
			t = t[:coverage]
		}
	case ICMP, IGMP, ICMPv6:
		if n < icmpSize {
			return l.short(n, icmpSize)
		}
	case SCTP:
		if n < sctpSize {
			return l.short(n, sctpSize)
		}
		updateSCTP(t)
		return nil
	default:
		return nil
	}
	at, pseudo, _ := checksumAt(l.protocol)
	var acc uint64
	if pseudo {
		if l.dstAt == nowhere {
			return errFinalDestination
		}
		acc = l.pseudo(b, n)
	}
	// The checksum itself counts as 0. Writing it first would make the wide loads wait for that store.
	acc = add(sum(acc, t), ^uint64(getSum(t, at)))
	s := ^fold(acc)
	if !pseudo && s == 0 && allZero(t, at) {
		s = 0xffff
	}
	if s == 0 && (l.protocol == UDP || l.protocol == UDPLite) {
		s = 0xffff
	}
	putSum(t, at, s)
	return nil
}

// coverageFits says that the checksum coverage of the UDP-Lite header t is one that a datagram of n bytes can have.
func coverageFits(t []byte, n int) bool {
	c := int(binary.BigEndian.Uint16(t[udpLength:]))
	return c == 0 || c >= udpSize && c <= n
}

func updateSCTP(t []byte) {
	putSum(t, sctpChecksum, 0)
	putSum(t, sctpChecksum+2, 0)
	little.PutUint32(t[sctpChecksum:], crc32.Checksum(t, crc32.MakeTable(crc32.Castagnoli)))
}

// allZero says that t is of zeros but for its checksum. Taking the old checksum away again leaves then
// the other representation of 0, and a receiver would find that one wrong.
func allZero(t []byte, at int) bool {
	return sum(0, t[:at]) == 0 && sum(0, t[at+2:]) == 0
}
