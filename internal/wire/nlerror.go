package wire

import (
	"encoding/binary"
	"fmt"
)

// Error is the body of an NLMSG_ERROR: a refusal, or an acknowledgement when Errno is 0.
type Error struct {
	Errno   int32  // positive
	Request Header // of the message it answers
}

// DecodeError reads the body of an NLMSG_ERROR (struct nlmsgerr). What follows the echoed header is ignored.
func DecodeError(body []byte) (Error, error) {
	if len(body) < 4+HeaderSize {
		return Error{}, fmt.Errorf("nlmsgerr: %w: %d bytes of %d", ErrShort, len(body), 4+HeaderSize)
	}
	return Error{Errno: -int32(binary.NativeEndian.Uint32(body)), Request: getHeader(body[4:])}, nil
}

// AppendError appends an NLMSG_ERROR that echoes the header of the request alone, as NETLINK_CAP_ACK makes the kernel do.
func AppendError(b []byte, e Error) []byte {
	b = binary.NativeEndian.AppendUint32(b, HeaderSize+4+HeaderSize)
	b = binary.NativeEndian.AppendUint16(b, TypeError)
	b = binary.NativeEndian.AppendUint16(b, flagCapped)
	b = binary.NativeEndian.AppendUint32(b, e.Request.Seq)
	b = binary.NativeEndian.AppendUint32(b, e.Request.Port)
	b = binary.NativeEndian.AppendUint32(b, uint32(-e.Errno))
	return appendRawHeader(b, e.Request)
}

// AppendOverrun appends an NLMSG_OVERRUN, with which a sender that cannot raise ENOBUFS at the reader says that
// messages were lost.
func AppendOverrun(b []byte) []byte {
	return appendRawHeader(b, Header{Len: HeaderSize, Type: TypeOverrun})
}

func appendRawHeader(b []byte, h Header) []byte {
	b = binary.NativeEndian.AppendUint32(b, h.Len)
	b = binary.NativeEndian.AppendUint16(b, h.Type)
	b = binary.NativeEndian.AppendUint16(b, h.Flags)
	b = binary.NativeEndian.AppendUint32(b, h.Seq)
	return binary.NativeEndian.AppendUint32(b, h.Port)
}
