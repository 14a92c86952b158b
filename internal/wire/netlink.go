package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes and types of netlink itself. Source: include/uapi/linux/netlink.h, nfnetlink.h.
const (
	HeaderSize     = 16 // struct nlmsghdr
	nfgenSize      = 4  // struct nfgenmsg
	attrHeaderSize = 4  // struct nlattr
	align          = 4  // NLMSG_ALIGNTO, NLA_ALIGNTO

	TypeNoop    = 0x1 // NLMSG_NOOP
	TypeError   = 0x2 // NLMSG_ERROR
	TypeDone    = 0x3 // NLMSG_DONE
	TypeOverrun = 0x4 // NLMSG_OVERRUN

	FlagRequest = 0x1   // NLM_F_REQUEST
	FlagAck     = 0x4   // NLM_F_ACK
	flagCapped  = 0x100 // NLM_F_CAPPED

	attrNested   = 0x8000                      // NLA_F_NESTED
	attrTypeMask = ^uint16(attrNested | 1<<14) // NLA_TYPE_MASK
	subsysQueue  = 3 << 8                      // NFNL_SUBSYS_QUEUE
	maxAttrLen   = 0xffff                      // nla_len is 16 bits wide
	MaxPayload   = maxAttrLen - attrHeaderSize // 65531, the most one NFQA_PAYLOAD can carry
)

// ErrShort says that a message or an attribute claims more bytes than there are.
var ErrShort = errors.New("message cut short")

// Header is a netlink message header (struct nlmsghdr), host byte order on the wire.
type Header struct {
	Len   uint32
	Type  uint16
	Flags uint16
	Seq   uint32
	Port  uint32 // nlmsg_pid
}

// Next splits the first message off a datagram: its header, its body (after the header, without padding) and what
// follows it. A datagram that is used up gives ok == false and a nil error.
func Next(datagram []byte) (h Header, body, rest []byte, ok bool, err error) {
	if len(datagram) == 0 {
		return h, nil, nil, false, nil
	}
	if len(datagram) < HeaderSize {
		return h, nil, nil, false, fmt.Errorf("netlink header: %w: %d bytes of %d", ErrShort, len(datagram), HeaderSize)
	}
	h = getHeader(datagram)
	if h.Len < HeaderSize || uint64(h.Len) > uint64(len(datagram)) {
		return h, nil, nil, false, fmt.Errorf("netlink message: %w: it says %d bytes, the datagram has %d", ErrShort, h.Len, len(datagram))
	}
	end := int(h.Len)
	body = datagram[HeaderSize:end:end]
	if next := alignUp(end); next < len(datagram) {
		rest = datagram[next:]
	}
	return h, body, rest, true, nil
}

// Message returns the type and the body of the message that a datagram begins with: Next, for who expects one message in
// a datagram, as the kernel sends them about packets.
func Message(datagram []byte) (typ uint16, body []byte, ok bool) {
	if len(datagram) < HeaderSize {
		return 0, nil, false
	}
	n := binary.NativeEndian.Uint32(datagram)
	if n < HeaderSize || uint64(n) > uint64(len(datagram)) {
		return 0, nil, false
	}
	return binary.NativeEndian.Uint16(datagram[4:]), datagram[HeaderSize:n:n], true
}

func getHeader(b []byte) Header {
	_ = b[HeaderSize-1]
	return Header{
		Len:   binary.NativeEndian.Uint32(b[0:]),
		Type:  binary.NativeEndian.Uint16(b[4:]),
		Flags: binary.NativeEndian.Uint16(b[6:]),
		Seq:   binary.NativeEndian.Uint32(b[8:]),
		Port:  binary.NativeEndian.Uint32(b[12:]),
	}
}

func alignUp(n int) int { return (n + align - 1) &^ (align - 1) }

// attrs walks the attributes of a message. The first fault ends the walk and stays in err.
type attrs struct {
	b   []byte
	err error
}

// next returns the type (flags removed) and the value of the next attribute.
func (a *attrs) next() (typ uint16, value []byte, ok bool) {
	if len(a.b) < attrHeaderSize {
		// Fewer than four bytes cannot hold an attribute: the kernel's own parser ignores such a tail too.
		return 0, nil, false
	}
	n := int(binary.NativeEndian.Uint16(a.b))
	if n < attrHeaderSize || n > len(a.b) {
		a.err = attrCut(n, len(a.b))
		return 0, nil, false
	}
	typ = binary.NativeEndian.Uint16(a.b[2:]) & attrTypeMask
	value = a.b[attrHeaderSize:n:n]
	if end := alignUp(n); end < len(a.b) {
		a.b = a.b[end:]
	} else {
		a.b = nil
	}
	return typ, value, true
}

func attrCut(says, left int) error {
	return fmt.Errorf("attribute: %w: it says %d bytes, %d are left", ErrShort, says, left)
}

// appendHeader appends nlmsghdr and nfgenmsg. The length is filled in by finish.
func appendHeader(b []byte, typ uint16, flags uint16, seq uint32, family uint8, queue uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, family, 0) // NFNETLINK_V0
	return binary.BigEndian.AppendUint16(b, queue)
}

// finish writes the length of the message that starts at b[start:], of which extra bytes follow b.
func finish(b []byte, start, extra int) []byte {
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start+extra))
	return b
}

func appendAttrHeader(b []byte, typ uint16, valueLen int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeaderSize+valueLen))
	return binary.NativeEndian.AppendUint16(b, typ)
}

func appendAttr32(b []byte, typ uint16, v uint32) []byte {
	b = appendAttrHeader(b, typ, 4)
	return binary.BigEndian.AppendUint32(b, v)
}

// Pad appends zero bytes until len(b) is a multiple of four, as the next message or attribute needs.
func Pad(b []byte) []byte {
	for len(b)%align != 0 {
		b = append(b, 0)
	}
	return b
}

// Shorten makes a datagram that was cut by its buffer a message of the length that arrived, in place.
func Shorten(datagram []byte) []byte {
	if len(datagram) >= HeaderSize {
		binary.NativeEndian.PutUint32(datagram, uint32(len(datagram)))
	}
	return datagram
}
