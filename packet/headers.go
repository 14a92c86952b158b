package packet

import (
	"encoding/binary"
	"net/netip"
)

// Headers is what the headers of one packet say. The zero value is ready; Parse fills it, over and over, and allocates
// nothing. It refers to the packet until the next Parse, so it lives no longer than the packet's buffer.
//
// Fields of a header that the packet does not have, or that was cut off, are zero: Has tells them from real zeros. Numbers
// are in host order. A Headers must not be used by two goroutines at once.
type Headers struct {
	Version  uint8    // 4 or 6; 0 if it is no IP packet or not even the fixed IP header is there
	TOS      uint8    // IPv6: traffic class. DSCP is TOS>>2, ECN is TOS&3
	TTL      uint8    // IPv6: hop limit
	Protocol Protocol // the transport, behind extension headers; where these were cut off, the first one missing
	Src, Dst netip.Addr
	Length   int // bytes of the packet as its IP header states them, header included; a length field of 0 (BIG TCP) reads as len(b)

	ID             uint32 // identification; IPv6: of the fragment header
	FlowLabel      uint32 // IPv6 only
	FragmentOffset uint16 // bytes
	MoreFragments  bool
	DontFragment   bool // IPv4 only

	// Offsets into the packet; none is beyond its end.
	TransportOffset int // where the IP headers end and the transport header, or the data of a later fragment, starts
	PayloadOffset   int // where the transport header ends; TransportOffset if there is none, or none that is known
	PayloadEnd      int // where the payload ends: padding after the packet, and after a UDP datagram, is not part of it

	SrcPort, DstPort  uint16 // with HasPorts
	Checksum          uint16 // of TCP, UDP, UDP-Lite, ICMP, ICMPv6, IGMP; with HasChecksum
	Seq, Ack          uint32 // with HasTCP, as the next two
	Flags             TCPFlags
	Window            uint16 // not scaled
	Urgent            uint16 // with HasTCP
	UDPLength         uint16 // with HasUDP
	ICMPType          uint8  // of ICMP, ICMPv6; with HasICMP
	ICMPCode          uint8
	ICMPID, ICMPSeq   uint16 // with HasICMPID: echo, timestamp and the like
	Faults            Faults
	fields            Fields
	transportChecksum int // offset in the packet, 0 if it is not there
	layout            layout
	packet            []byte
}

// Fields is a set of header fields; see Headers.Has.
type Fields uint8

// What a packet may have.
const (
	HasPorts    Fields = 1 << iota // TCP, UDP, UDP-Lite or SCTP, no later fragment, at least the first four bytes
	HasTCP                         // the whole fixed TCP header
	HasUDP                         // the whole UDP header
	HasICMP                        // type and code of ICMP or ICMPv6
	HasICMPID                      // a query: identifier and sequence number
	HasChecksum                    // a 16-bit transport checksum
)

// Faults is a set of things that are wrong with a packet.
type Faults uint8

// What may be wrong with a packet.
const (
	FaultVersion   Faults = 1 << iota // neither IPv4 nor IPv6; nothing else was read
	FaultTruncated                    // the slice ends before the packet does, as after a copy range; what is there was read
	FaultHeader                       // lengths in the IP header or in an extension header contradict each other; no transport was read
	FaultTransport                    // the transport header does not fit the packet, or states a length that does not
)

// Has reports whether all the fields of f were read.
func (h *Headers) Has(f Fields) bool { return h.fields&f == f }

// IsFragment reports whether the packet is one fragment of a datagram.
func (h *Headers) IsFragment() bool { return h.layout.fragmented() }

// Payload returns what follows the transport header, or the data of a later fragment. It is a part of the packet, not a copy.
func (h *Headers) Payload() []byte { return h.packet[h.PayloadOffset:h.PayloadEnd:h.PayloadEnd] }

// Packet returns the slice that was parsed.
func (h *Headers) Packet() []byte { return h.packet }

// Parse reads the packet b, which starts at its IP header. It reads what is there and never fails: Faults says what is wrong.
func (h *Headers) Parse(b []byte) {
	*h = Headers{packet: b}
	l := &h.layout
	l.locate(b)
	h.Version, h.Protocol, h.Faults = l.version, l.protocol, l.faults
	h.Length, h.TransportOffset, h.PayloadOffset, h.PayloadEnd = l.length, l.transport, l.transport, l.end
	h.ID, h.FragmentOffset, h.MoreFragments = l.id, l.offset, l.more
	switch l.version {
	case 4:
		h.TOS, h.TTL = b[ip4TOS], b[ip4TTL]
		h.DontFragment = binary.BigEndian.Uint16(b[ip4Fragment:])&ip4DontFragment != 0
		h.Src = netip.AddrFrom4([4]byte(b[ip4Src:]))
		h.Dst = netip.AddrFrom4([4]byte(b[ip4Dst:]))
	case 6:
		h.TOS, h.TTL = b[0]<<4|b[1]>>4, b[ip6HopLimit]
		h.FlowLabel = binary.BigEndian.Uint32(b) & 0xfffff
		h.Src = netip.AddrFrom16([16]byte(b[ip6Src:]))
		h.Dst = netip.AddrFrom16([16]byte(b[ip6Dst:]))
	}
	if l.hasTransport() {
		h.parseTransport(b[l.transport:l.end])
	}
}

// parseTransport reads the transport header at the start of t.
func (h *Headers) parseTransport(t []byte) {
	size := 0
	switch h.Protocol {
	case TCP:
		size = tcpSize
		if len(t) >= tcpSize {
			h.fields |= HasTCP
			h.Seq = binary.BigEndian.Uint32(t[tcpSeq:])
			h.Ack = binary.BigEndian.Uint32(t[tcpAck:])
			h.Flags = TCPFlags(binary.BigEndian.Uint16(t[tcpFlags:]) & tcpFlagMask)
			h.Window = binary.BigEndian.Uint16(t[tcpWindow:])
			h.Urgent = binary.BigEndian.Uint16(t[tcpUrgent:])
			if size = int(t[tcpFlags]>>4) * 4; size < tcpSize {
				h.Faults |= FaultTransport
				size = tcpSize
			}
		}
	case UDP:
		size = udpSize
		if len(t) >= udpSize {
			h.fields |= HasUDP
			h.UDPLength = binary.BigEndian.Uint16(t[udpLength:])
			h.endUDP(int(h.UDPLength))
		}
	case UDPLite:
		size = udpSize
		if len(t) >= udpSize && !h.MoreFragments && !coverageFits(t, h.Length-h.TransportOffset) {
			h.Faults |= FaultTransport
		}
	case SCTP:
		size = sctpSize
	case IGMP:
		size = icmpSize
	case ICMP, ICMPv6:
		size = icmpSize
		if len(t) >= 2 {
			h.fields |= HasICMP
			h.ICMPType, h.ICMPCode = t[icmpType], t[icmpCode]
		}
		if len(t) >= icmpSize && icmpQuery(h.Protocol, h.ICMPType) {
			h.fields |= HasICMPID
			h.ICMPID = binary.BigEndian.Uint16(t[icmpID:])
			h.ICMPSeq = binary.BigEndian.Uint16(t[icmpSeq:])
		}
	}
	switch h.Protocol {
	case TCP, UDP, UDPLite, SCTP:
		if len(t) >= dstPort+2 {
			h.fields |= HasPorts
			h.SrcPort = binary.BigEndian.Uint16(t[srcPort:])
			h.DstPort = binary.BigEndian.Uint16(t[dstPort:])
		}
	}
	if at, _, ok := checksumAt(h.Protocol); ok && len(t) >= at+2 {
		h.fields |= HasChecksum
		h.Checksum = binary.BigEndian.Uint16(t[at:])
		h.transportChecksum = h.TransportOffset + at
	}
	if size > len(t) {
		if size > h.Length-h.TransportOffset {
			h.Faults |= FaultTransport
		}
		size = len(t)
	}
	h.PayloadOffset = h.TransportOffset + size
}

// endUDP takes the UDP length: it may end the payload before the IP packet ends. In a first fragment it is about all of them.
func (h *Headers) endUDP(n int) {
	if n < udpSize {
		h.Faults |= FaultTransport
		return
	}
	if h.MoreFragments {
		return
	}
	if n > h.Length-h.TransportOffset {
		h.Faults |= FaultTransport
		return
	}
	h.PayloadEnd = min(h.PayloadEnd, h.TransportOffset+n)
}

// IPOptions returns the options of the IPv4 header, as they are; nil if there are none or they are not all there.
func (h *Headers) IPOptions() []byte {
	if h.Version != 4 {
		return nil
	}
	return h.options(ip4Size, int(h.packet[0]&15)*4)
}

// TCPOptions returns the options of the TCP header, as they are; nil if there are none or they are not all there.
func (h *Headers) TCPOptions() []byte {
	if !h.Has(HasTCP) {
		return nil
	}
	at := h.TransportOffset
	return h.options(at+tcpSize, at+int(h.packet[at+tcpFlags]>>4)*4)
}

func (h *Headers) options(from, to int) []byte {
	if to <= from || to > h.layout.end {
		return nil
	}
	return h.packet[from:to:to]
}
