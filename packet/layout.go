package packet

import "encoding/binary"

// layout is where the parts of one packet are: all that checksums, lengths and edits need.
type layout struct {
	version   uint8
	protocol  Protocol
	faults    Faults
	more      bool   // more fragments follow
	unstated  bool   // the length field is 0
	cutOff    bool   // the packet ends within its IP headers
	offset    uint16 // of the fragment, bytes
	id        uint32
	length    int // of the packet as stated, bytes
	transport int // where the IP headers end
	end       int // where the packet ends: as stated, or with the slice if that comes first
	srcAt     int // the source address of the pseudo-header
	dstAt     int // its destination address, or nowhere
}

// locate reads the IP headers of b.
func (l *layout) locate(b []byte) {
	*l = layout{}
	if len(b) == 0 {
		l.faults = FaultVersion
		return
	}
	switch b[0] >> 4 {
	case 4:
		l.locate4(b)
	case 6:
		l.locate6(b)
	default:
		l.faults = FaultVersion
	}
}

func (l *layout) locate4(b []byte) {
	if len(b) < ip4Size {
		l.faults = FaultTruncated
		return
	}
	l.version = 4
	l.protocol = Protocol(b[ip4Protocol])
	field := binary.BigEndian.Uint16(b[ip4Fragment:])
	l.more = field&ip4MoreFragments != 0
	l.offset = (field & ip4OffsetMask) * 8
	l.id = uint32(binary.BigEndian.Uint16(b[ip4ID:]))
	l.srcAt, l.dstAt = ip4Src, ip4Dst
	l.state(int(binary.BigEndian.Uint16(b[ip4Length:])), len(b))
	header := int(b[0]&15) * 4
	l.transport = header
	if header < ip4Size || header > l.length {
		l.faults |= FaultHeader
		l.transport, l.end = ip4Size, ip4Size
		return
	}
	if header > l.end {
		l.cut()
		return
	}
	if header > ip4Size {
		l.dstAt = finalDst4(b[:header])
	}
	if l.protocol == authHeader && l.offset == 0 {
		l.extensions(b)
	}
}

func (l *layout) locate6(b []byte) {
	if len(b) < ip6Size {
		l.faults = FaultTruncated
		return
	}
	l.version = 6
	l.protocol = Protocol(b[ip6NextHeader])
	l.srcAt, l.dstAt = ip6Src, ip6Dst
	l.transport = ip6Size
	if n := int(binary.BigEndian.Uint16(b[ip6Length:])); n == 0 && len(b) > ip6Size {
		l.state(0, len(b))
	} else {
		l.state(ip6Size+n, len(b))
	}
	l.extensions(b)
}

// state takes what the header says about the packet's length. 0 is what the kernel writes into packets too large for the
// field (BIG TCP, before they are segmented): the slice then says how long the packet is, as in tcpdump.
func (l *layout) state(length, have int) {
	l.unstated = length == 0
	if l.unstated {
		length = have
	}
	l.length, l.end = length, length
	if length > have {
		l.end = have
		l.faults |= FaultTruncated
	}
}

// cut records IP headers that end before the transport header: the slice's fault when it is short, else the packet's.
func (l *layout) cut() {
	l.transport = l.end
	l.cutOff = true
	if l.end == l.length {
		l.faults |= FaultHeader
	}
}

// fragmented says that the transport checksum covers bytes of other packets.
func (l *layout) fragmented() bool { return l.more || l.offset != 0 }

// hasTransport says that a transport header, or some of it, is at l.transport.
func (l *layout) hasTransport() bool {
	return l.version != 0 && l.offset == 0 && !l.cutOff && l.faults&FaultHeader == 0
}

// pseudo sums the pseudo-header of a transport that is n bytes long (RFC 9293, 3.1; RFC 8200, 8.1). The addresses must be
// known (dstAt is not nowhere).
func (l *layout) pseudo(b []byte, n int) uint64 {
	acc := word(int(l.protocol)) + word(n)
	if l.version == 4 {
		return acc + uint64(little.Uint32(b[l.srcAt:])) + uint64(little.Uint32(b[l.dstAt:]))
	}
	src, dst := b[l.srcAt:l.srcAt+16], b[l.dstAt:l.dstAt+16]
	acc = add(acc, little.Uint64(src))
	acc = add(acc, little.Uint64(src[8:]))
	acc = add(acc, little.Uint64(dst))
	return add(acc, little.Uint64(dst[8:]))
}

// checksumAt returns the offset of the 16-bit transport checksum in the transport header, and whether the addresses of
// the packet are part of it.
func checksumAt(p Protocol) (at int, pseudo, ok bool) {
	switch p {
	case TCP:
		return tcpChecksum, true, true
	case UDP, UDPLite:
		return udpChecksum, true, true
	case ICMPv6:
		return icmpChecksum, true, true
	case ICMP, IGMP:
		return icmpChecksum, false, true
	}
	return 0, false, false
}
