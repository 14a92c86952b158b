package packet

import (
	"encoding/binary"
	"fmt"
)

// SetPayload replaces what follows the transport header (of a protocol that is not known: what follows the IP headers) by a
// copy of payload, sets the IP and UDP lengths, computes all checksums anew, and returns the packet; h describes the result.
//
// The packet is changed in place. Like append, it uses the capacity of the slice that was parsed when it grows, and
// overwrites what is there; only if that is too small is a larger slice allocated. To keep it from growing over something, parse
// a slice with a limited capacity; to never allocate, parse a copy of the packet in a scratch slice that is large enough.
// payload may overlap the packet.
//
// An IPv4 UDP datagram without a checksum stays without one. A UDP-Lite coverage of everything stays that. The TCP sequence
// numbers of what follows in the flow are the caller's business: see SetSeq and SetAck.
//
// On error nothing has been changed. The error wraps ErrNotIP, ErrTruncated or ErrMalformed when the packet is not whole and
// sound, ErrFragment, or ErrTooLong when the result exceeds 65535 bytes (IPv6: of payload). A queue takes at most 65531.
func (h *Headers) SetPayload(payload []byte) ([]byte, error) {
	if err := h.layout.whole(h.packet); err != nil {
		return nil, err
	}
	if h.IsFragment() {
		return nil, fmt.Errorf("%w: its size cannot change without the others; reassemble first (conntrack does)", ErrFragment)
	}
	if h.Faults != 0 {
		return nil, fmt.Errorf("%w: the %s header and the %d bytes that the IP header leaves for it contradict each other",
			ErrMalformed, h.Protocol, h.layout.end-h.layout.transport)
	}
	if _, pseudo, _ := checksumAt(h.Protocol); pseudo && h.layout.dstAt == nowhere {
		return nil, errFinalDestination
	}
	size := h.PayloadOffset + len(payload)
	length := size
	if h.Version == 6 {
		length -= ip6Size
	}
	if length > 0xffff {
		return nil, fmt.Errorf("%w: with a payload of %d bytes the IPv%d length would be %d, the field holds 65535",
			ErrTooLong, len(payload), h.Version, length)
	}
	b := h.packet
	if size > cap(b) {
		b = append(make([]byte, 0, size), b[:h.PayloadOffset]...)
	}
	b = b[:size]
	copy(b[h.PayloadOffset:], payload)
	h.setLengths(b, length)
	if err := UpdateChecksums(b); err != nil {
		return nil, err
	}
	h.Parse(b)
	return b, nil
}

// setLengths writes the length fields of b, which has just changed its size.
func (h *Headers) setLengths(b []byte, ip int) {
	if h.Version == 4 {
		binary.BigEndian.PutUint16(b[ip4Length:], uint16(ip))
	} else {
		binary.BigEndian.PutUint16(b[ip6Length:], uint16(ip))
	}
	t := b[h.TransportOffset:]
	switch h.Protocol {
	case UDP:
		binary.BigEndian.PutUint16(t[udpLength:], uint16(len(t)))
	case UDPLite:
		before := h.layout.end - h.layout.transport
		if n := int(binary.BigEndian.Uint16(t[udpLength:])); n == before || n > len(t) {
			binary.BigEndian.PutUint16(t[udpLength:], uint16(len(t)))
		}
	}
}
