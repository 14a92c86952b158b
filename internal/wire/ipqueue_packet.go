package wire

import "encoding/binary"

// IPQPacket is the fixed part of an IPQM_PACKET message, ipq_packet_msg_t.
type IPQPacket struct {
	ID         uint64 // 32 bits in the 32-bit layout
	Mark       uint64 // 32 bits are meaningful
	Sec        int64  // arrival, since 1970
	Usec       int64
	Hook       uint32
	In, Out    [IPQNameSize]byte // NUL-terminated; empty when there is no such device
	HWProtocol uint16            // an EtherType, in host order here; network order in the message
	HWType     uint16            // ARPHRD_*
	HWAddrLen  uint8             // of HWAddr, at most IPQHWAddrSize
	HWAddr     [IPQHWAddrSize]byte
	DataLen    uint64 // bytes of payload that follow
}

// PutPacket writes the header and the fixed part of an IPQM_PACKET message into
// b and returns their length, IPQHeaderSize + PacketSize, which b must have.
// The payload, p.DataLen bytes, and zero to three bytes up to a multiple of
// four must follow in the same datagram: nlmsg_len counts them, as in ip_queue.
func (l IPQLayout) PutPacket(b []byte, p *IPQPacket) int {
	n := IPQHeaderSize + l.PacketSize()
	b = b[:n]
	h := IPQHeader{Len: uint32(n) + uint32(IPQAlign(int(p.DataLen))), Type: IPQTypePacket}
	h.Put(b)
	w := int(l)
	m := b[IPQHeaderSize:]
	l.putWord(m[0:], p.ID)
	l.putWord(m[w:], p.Mark)
	l.putWord(m[2*w:], uint64(p.Sec))
	l.putWord(m[3*w:], uint64(p.Usec))
	f := m[4*w:] // the members whose size is the same in both layouts
	binary.NativeEndian.PutUint32(f[0:], p.Hook)
	copy(f[4:], p.In[:])
	copy(f[20:], p.Out[:])
	binary.BigEndian.PutUint16(f[36:], p.HWProtocol)
	binary.NativeEndian.PutUint16(f[38:], p.HWType)
	f[40] = p.HWAddrLen
	copy(f[41:], p.HWAddr[:])
	clear(f[49 : len(f)-w])
	l.putWord(m[len(m)-w:], p.DataLen)
	return n
}

// DecodePacket reads an IPQM_PACKET message, header included. The payload is a
// part of msg. What the header's length counts beyond data_len is padding.
func (l IPQLayout) DecodePacket(msg []byte) (p IPQPacket, payload []byte, err error) {
	n := IPQHeaderSize + l.PacketSize()
	if len(msg) < n {
		return p, nil, ErrIPQShort
	}
	w := int(l)
	m := msg[IPQHeaderSize:n]
	p.ID = l.word(m[0:])
	p.Mark = l.word(m[w:])
	p.Sec = l.signed(m[2*w:])
	p.Usec = l.signed(m[3*w:])
	f := m[4*w:]
	p.Hook = binary.NativeEndian.Uint32(f[0:])
	copy(p.In[:], f[4:])
	copy(p.Out[:], f[20:])
	p.HWProtocol = binary.BigEndian.Uint16(f[36:])
	p.HWType = binary.NativeEndian.Uint16(f[38:])
	p.HWAddrLen = f[40]
	copy(p.HWAddr[:], f[41:])
	p.DataLen = l.word(m[len(m)-w:])
	if p.DataLen > uint64(len(msg)-n) {
		return p, nil, ErrIPQShort
	}
	return p, msg[n : n+int(p.DataLen)], nil
}

// IPQAlign rounds a length up to a multiple of four, as NLMSG_ALIGN does.
func IPQAlign(n int) int { return (n + 3) &^ 3 }
