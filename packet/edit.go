package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// The setters below change the packet that was parsed, in place, keep its checksums true by RFC 1624, and change the
// field of h. On error nothing has been changed. An error wraps ErrAbsent when the packet has no such field, ErrTruncated when
// the checksum that would have to change was cut off, and ErrFragment when it is in another fragment.

// SetSrc changes the source address. addr must be of the packet's IP version; an IPv4-mapped address does for IPv4.
// In ICMP errors the quoted packet is left alone.
func (h *Headers) SetSrc(addr netip.Addr) error {
	at := ip4Src
	if h.Version == 6 {
		at = ip6Src
	}
	addr, err := h.setAddr(addr, at, h.layout.srcAt == at)
	if err != nil {
		return err
	}
	h.Src = addr
	return nil
}

// SetDst changes the destination address, as SetSrc does the source. Where a routing header or a source route has stops
// left, that is the next stop, which the transport checksum does not cover.
func (h *Headers) SetDst(addr netip.Addr) error {
	at := ip4Dst
	if h.Version == 6 {
		at = ip6Dst
	}
	addr, err := h.setAddr(addr, at, h.layout.dstAt == at)
	if err != nil {
		return err
	}
	h.Dst = addr
	return nil
}

func (h *Headers) setAddr(addr netip.Addr, at int, covered bool) (netip.Addr, error) {
	switch h.Version {
	case 4:
		addr = addr.Unmap()
		if !addr.Is4() {
			return addr, h.wrongFamily(addr)
		}
		a := addr.As4()
		return addr, h.replaceAddr(at, a[:], covered)
	case 6:
		addr = addr.WithZone("")
		if !addr.Is6() {
			return addr, h.wrongFamily(addr)
		}
		a := addr.As16()
		return addr, h.replaceAddr(at, a[:], covered)
	}
	return addr, h.absent("address")
}

// replaceAddr puts an address at an offset; covered says that the pseudo-header is about it.
func (h *Headers) replaceAddr(at int, addr []byte, covered bool) error {
	_, pseudo, _ := checksumAt(h.Protocol)
	first := h.FragmentOffset == 0
	covered = covered && pseudo && first
	if first && !h.layout.hasTransport() || covered && h.transportChecksum == 0 {
		return h.unreachable()
	}
	old := h.packet[at : at+len(addr)]
	d := difference(old, addr)
	if covered {
		h.amendTransport(d)
	}
	if h.Version == 4 {
		h.amendHeader(d)
	}
	copy(old, addr)
	return nil
}

// SetSrcPort changes the source port of a TCP, UDP, UDP-Lite or SCTP packet.
func (h *Headers) SetSrcPort(port uint16) error {
	if err := h.setPort(srcPort, port); err != nil {
		return err
	}
	h.SrcPort = port
	return nil
}

// SetDstPort changes the destination port of a TCP, UDP, UDP-Lite or SCTP packet.
func (h *Headers) SetDstPort(port uint16) error {
	if err := h.setPort(dstPort, port); err != nil {
		return err
	}
	h.DstPort = port
	return nil
}

func (h *Headers) setPort(at int, port uint16) error {
	if !h.Has(HasPorts) {
		return h.absent("port")
	}
	if h.Protocol == SCTP {
		return h.setPortSCTP(at, port)
	}
	if h.transportChecksum == 0 {
		return h.unreachable()
	}
	h.replace16(h.TransportOffset+at, port)
	return nil
}

// setPortSCTP computes the whole CRC, so it needs the whole packet.
func (h *Headers) setPortSCTP(at int, port uint16) error {
	t := h.packet[h.TransportOffset:h.layout.end]
	if h.IsFragment() || h.Faults&FaultTruncated != 0 || len(t) < sctpSize {
		return h.unreachable()
	}
	binary.BigEndian.PutUint16(t[at:], port)
	updateSCTP(t)
	return nil
}

// SetTTL changes the time to live, or the hop limit of IPv6.
func (h *Headers) SetTTL(ttl uint8) error {
	switch h.Version {
	case 4:
		h.replaceHeader16(ip4TTL, uint16(ttl)<<8|uint16(h.packet[ip4Protocol]))
	case 6:
		h.packet[ip6HopLimit] = ttl
	default:
		return h.absent("TTL")
	}
	h.TTL = ttl
	return nil
}

// SetTOS changes the type of service, or the traffic class of IPv6. To change the DSCP alone: h.SetTOS(dscp<<2 | h.TOS&3).
func (h *Headers) SetTOS(tos uint8) error {
	switch h.Version {
	case 4:
		h.replaceHeader16(0, uint16(h.packet[0])<<8|uint16(tos))
	case 6:
		h.packet[0] = h.packet[0]&0xf0 | tos>>4
		h.packet[1] = h.packet[1]&0x0f | tos<<4
	default:
		return h.absent("type of service")
	}
	h.TOS = tos
	return nil
}

// SetSeq changes the TCP sequence number: what a flow needs after SetPayload has changed the size of an earlier segment.
func (h *Headers) SetSeq(seq uint32) error {
	if !h.Has(HasTCP) {
		return h.absent("TCP header")
	}
	h.replace32(h.TransportOffset+tcpSeq, seq)
	h.Seq = seq
	return nil
}

// SetAck changes the TCP acknowledgment number, as SetSeq does the sequence number for the other direction.
func (h *Headers) SetAck(ack uint32) error {
	if !h.Has(HasTCP) {
		return h.absent("TCP header")
	}
	h.replace32(h.TransportOffset+tcpAck, ack)
	h.Ack = ack
	return nil
}

// SetFlags changes the TCP control bits.
func (h *Headers) SetFlags(flags TCPFlags) error {
	if !h.Has(HasTCP) {
		return h.absent("TCP header")
	}
	flags &= tcpFlagMask
	at := h.TransportOffset + tcpFlags
	h.replace16(at, binary.BigEndian.Uint16(h.packet[at:])&^tcpFlagMask|uint16(flags))
	h.Flags = flags
	return nil
}

// SetWindow changes the TCP window, not scaled.
func (h *Headers) SetWindow(window uint16) error {
	if !h.Has(HasTCP) {
		return h.absent("TCP header")
	}
	h.replace16(h.TransportOffset+tcpWindow, window)
	h.Window = window
	return nil
}

// replace16 changes a field of the transport header that is at an even offset in it.
func (h *Headers) replace16(at int, v uint16) {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	h.amendTransport(difference(h.packet[at:at+2], b[:]))
	copy(h.packet[at:], b[:])
}

func (h *Headers) replace32(at int, v uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	h.amendTransport(difference(h.packet[at:at+4], b[:]))
	copy(h.packet[at:], b[:])
}

// replaceHeader16 changes a field of the IPv4 header.
func (h *Headers) replaceHeader16(at int, v uint16) {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	h.amendHeader(difference(h.packet[at:at+2], b[:]))
	copy(h.packet[at:], b[:])
}

func (h *Headers) amendHeader(difference uint64) {
	putSum(h.packet, ip4Checksum, amend(getSum(h.packet, ip4Checksum), difference))
}

// amendTransport keeps the checksum at h.transportChecksum true. UDP without one stays without one.
func (h *Headers) amendTransport(difference uint64) {
	at := h.transportChecksum
	s := getSum(h.packet, at)
	udp := h.Protocol == UDP || h.Protocol == UDPLite
	if udp && s == 0 {
		return
	}
	if s = amend(s, difference); udp && s == 0 {
		s = 0xffff
	}
	putSum(h.packet, at, s)
	h.Checksum = binary.BigEndian.Uint16(h.packet[at:])
}

func (h *Headers) absent(field string) error {
	switch {
	case h.Version == 0:
		return fmt.Errorf("%w: there is no IP header to change the %s of", ErrAbsent, field)
	case h.FragmentOffset != 0:
		return fmt.Errorf("%w: the %s is in the first fragment, this one starts at byte %d", ErrAbsent, field, h.FragmentOffset)
	}
	return fmt.Errorf("%w: this %s packet has no %s", ErrAbsent, h.Protocol, field)
}

func (h *Headers) wrongFamily(addr netip.Addr) error {
	return fmt.Errorf("%w: the packet is IPv%d, the address is %v", ErrAbsent, h.Version, addr)
}

// unreachable says why a checksum that has to change cannot be changed.
func (h *Headers) unreachable() error {
	switch {
	case h.Faults&FaultTruncated != 0:
		return fmt.Errorf("%w: the %s checksum was cut off; queue whole packets to edit them", ErrTruncated, h.Protocol)
	case h.IsFragment():
		return fmt.Errorf("%w: the %s checksum cannot be kept true in this one; reassemble first (conntrack does)", ErrFragment, h.Protocol)
	}
	return fmt.Errorf("%w: the packet ends before its %s checksum", ErrMalformed, h.Protocol)
}
