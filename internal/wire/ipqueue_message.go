package wire

import "encoding/binary"

// IPQHeader is the netlink header of an ip_queue message.
type IPQHeader struct {
	Len   uint32 // of the whole message, bytes
	Type  uint16
	Flags uint16
	Seq   uint32
	PID   uint32 // who the sender says it is: ip_queue took the peer's identity from here
}

// DecodeIPQHeader reads the header at the start of b.
func DecodeIPQHeader(b []byte) (IPQHeader, error) {
	if len(b) < IPQHeaderSize {
		return IPQHeader{}, ErrIPQShort
	}
	return IPQHeader{
		Len:   binary.NativeEndian.Uint32(b[0:]),
		Type:  binary.NativeEndian.Uint16(b[4:]),
		Flags: binary.NativeEndian.Uint16(b[6:]),
		Seq:   binary.NativeEndian.Uint32(b[8:]),
		PID:   binary.NativeEndian.Uint32(b[12:]),
	}, nil
}

// Put writes the header into the first IPQHeaderSize bytes of b, which must
// have them.
func (h IPQHeader) Put(b []byte) {
	_ = b[IPQHeaderSize-1]
	binary.NativeEndian.PutUint32(b[0:], h.Len)
	binary.NativeEndian.PutUint16(b[4:], h.Type)
	binary.NativeEndian.PutUint16(b[6:], h.Flags)
	binary.NativeEndian.PutUint32(b[8:], h.Seq)
	binary.NativeEndian.PutUint32(b[12:], h.PID)
}

// IPQMode is the body of an IPQM_MODE message.
type IPQMode struct {
	Value uint8
	Range uint64 // a size_t
}

// AppendMode appends the body of an IPQM_MODE message, filled up with zeros to
// VerdictSize bytes.
func (l IPQLayout) AppendMode(b []byte, m IPQMode) []byte {
	b, body := grow(b, l.VerdictSize())
	body[0] = m.Value
	l.putWord(body[l:], m.Range)
	return b
}

// DecodeMode reads the body of an IPQM_MODE message, which must have
// VerdictSize bytes or more.
func (l IPQLayout) DecodeMode(body []byte) (IPQMode, error) {
	if len(body) < l.VerdictSize() {
		return IPQMode{}, ErrIPQShort
	}
	return IPQMode{Value: body[0], Range: l.word(body[l:])}, nil
}

// IPQVerdict is the body of an IPQM_VERDICT message.
type IPQVerdict struct {
	Value   uint32
	ID      uint64
	DataLen uint64 // what the program says of the payload's length
	Payload []byte // what follows the structure
}

// AppendVerdict appends the body of an IPQM_VERDICT message.
func (l IPQLayout) AppendVerdict(b []byte, v IPQVerdict) []byte {
	b, body := grow(b, l.VerdictSize())
	binary.NativeEndian.PutUint32(body, v.Value)
	l.putWord(body[l:], v.ID)
	l.putWord(body[2*l:], v.DataLen)
	return append(b, v.Payload...)
}

// DecodeVerdict reads the body of an IPQM_VERDICT message. The payload is a
// part of body.
func (l IPQLayout) DecodeVerdict(body []byte) (IPQVerdict, error) {
	if len(body) < l.VerdictSize() {
		return IPQVerdict{}, ErrIPQShort
	}
	return IPQVerdict{
		Value:   binary.NativeEndian.Uint32(body),
		ID:      l.word(body[l:]),
		DataLen: l.word(body[2*l:]),
		Payload: body[l.VerdictSize():],
	}, nil
}

// AppendIPQMessage appends a header for a body of n bytes, which the caller
// appends next. h.Len is ignored.
func AppendIPQMessage(b []byte, h IPQHeader, n int) []byte {
	h.Len = uint32(IPQHeaderSize + n)
	b, head := grow(b, IPQHeaderSize)
	h.Put(head)
	return b
}

// grow appends n zero bytes to b and returns them too.
func grow(b []byte, n int) (all, added []byte) {
	l := len(b)
	for range n {
		b = append(b, 0)
	}
	return b, b[l:]
}
