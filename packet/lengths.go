package packet

import (
	"encoding/binary"
	"fmt"
)

// CheckLengths reports whether the length fields of the packet b agree with each other and with len(b): the IPv4 total length
// or IPv6 payload length, the sizes of the IP headers, and for a packet that is no fragment the UDP length and the sizes
// of the transport headers. A UDP length may be less than what the IP header leaves room for (RFC 9868).
//
// The error names the field, both numbers and the way out, and wraps ErrNotIP, ErrTruncated or ErrMalformed.
func CheckLengths(b []byte) error {
	var l layout
	l.locate(b)
	if err := l.whole(b); err != nil {
		return err
	}
	if l.length != len(b) {
		return l.lengthError(b)
	}
	if l.fragmented() {
		return nil
	}
	t := b[l.transport:l.end]
	switch l.protocol {
	case TCP:
		if len(t) < tcpSize {
			return l.short(len(t), tcpSize)
		}
		if n := int(t[tcpFlags]>>4) * 4; n < tcpSize || n > len(t) {
			return fmt.Errorf("%w: the TCP data offset says the header has %d bytes, the segment has %d; it must be from 20 to that",
				ErrMalformed, n, len(t))
		}
	case UDP:
		if len(t) < udpSize {
			return l.short(len(t), udpSize)
		}
		if n := int(binary.BigEndian.Uint16(t[udpLength:])); n < udpSize || n > len(t) {
			return udpLengthError(n, len(t))
		}
	case UDPLite:
		if len(t) < udpSize {
			return l.short(len(t), udpSize)
		}
		if !coverageFits(t, len(t)) {
			return coverageError(t)
		}
	case ICMP, ICMPv6, IGMP:
		if len(t) < icmpSize {
			return l.short(len(t), icmpSize)
		}
	case SCTP:
		if len(t) < sctpSize {
			return l.short(len(t), sctpSize)
		}
	}
	return nil
}

// isWhole reports whether the IP headers, and the bytes that they promise, are all there.
func (l *layout) isWhole() bool { return l.faults == 0 && !l.unstated && !l.cutOff }

// whole returns why the IP headers of b, or the bytes that they promise, are not all there.
func (l *layout) whole(b []byte) error {
	if l.isWhole() {
		return nil
	}
	switch {
	case len(b) == 0:
		return fmt.Errorf("%w: it is empty", ErrNotIP)
	case l.faults&FaultVersion != 0:
		return fmt.Errorf("%w: it begins with byte 0x%02x; a packet begins at its IP header, not at a link-layer header", ErrNotIP, b[0])
	case l.version == 0:
		want, name := ip4Size, "IPv4"
		if b[0]>>4 == 6 {
			want, name = ip6Size, "IPv6"
		}
		return fmt.Errorf("%w: an %s header has at least %d bytes, the packet has %d", ErrTruncated, name, want, len(b))
	case l.unstated || l.length > len(b) || l.length < l.transport:
		return l.lengthError(b)
	case l.version == 4:
		return fmt.Errorf("%w: the IPv4 header length says %d bytes, the packet has %d; it must be from 20 to that",
			ErrMalformed, int(b[0]&15)*4, len(b))
	default:
		return fmt.Errorf("%w: an IPv6 extension header (next header %d) goes past the %d bytes of the packet",
			ErrMalformed, l.protocol, len(b))
	}
}

// lengthError says that the IP length and the slice disagree.
func (l *layout) lengthError(b []byte) error {
	field, stated, have := "IPv4 total length", int(binary.BigEndian.Uint16(b[ip4Length:])), len(b)
	if l.version == 6 {
		field, stated, have = "IPv6 payload length", int(binary.BigEndian.Uint16(b[ip6Length:])), len(b)-ip6Size
	}
	if stated > have {
		return fmt.Errorf("%w: the %s is %d, there are %d bytes; set the field to %d (SetPayload does), "+
			"or queue whole packets if a copy range cut it", ErrTruncated, field, stated, have, have)
	}
	return fmt.Errorf("%w: the %s is %d, there are %d bytes; set the field to %d (SetPayload does), or cut the slice",
		ErrMalformed, field, stated, have, have)
}

func udpLengthError(n, have int) error {
	return fmt.Errorf("%w: the UDP length is %d, the IP header leaves %d bytes for the datagram; set the field to %d (SetPayload does)",
		ErrMalformed, n, have, have)
}

func coverageError(t []byte) error {
	return fmt.Errorf("%w: the UDP-Lite checksum coverage is %d, the datagram has %d bytes; set it to 0 for all of them",
		ErrMalformed, binary.BigEndian.Uint16(t[udpLength:]), len(t))
}

func (l *layout) short(have, want int) error {
	return fmt.Errorf("%w: the %s header has at least %d bytes, the IP header leaves %d for it", ErrMalformed, l.protocol, want, have)
}
