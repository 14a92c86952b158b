package wire

import "encoding/binary"

// IPQError is an NLMSG_ERROR message: the answer to a request that failed, or
// that asked for an acknowledgement.
type IPQError struct {
	Errno   int32  // positive; 0 acknowledges
	Seq     uint32 // of the request
	PID     uint32 // the port of the socket that sent the request
	Request []byte // from its header on, as far as it is echoed
}

// PutIPQError writes what comes before the echoed request, IPQErrorSize bytes,
// into b. request is the request, cut to its nlmsg_len.
//
// After a failure all of it must follow, then zero to three zero bytes up to a
// multiple of four, which nlmsg_len does not count. An acknowledgement (errno 0)
// is followed by the request's header alone. IPQErrorEcho gives the length.
func PutIPQError(b []byte, errno int32, port uint32, request []byte) {
	_ = b[IPQErrorSize-1]
	h := IPQHeader{
		Len:  uint32(IPQErrorSize + IPQErrorEcho(errno, request)),
		Type: IPQTypeError,
		Seq:  binary.NativeEndian.Uint32(request[8:]),
		PID:  port,
	}
	h.Put(b)
	binary.NativeEndian.PutUint32(b[IPQHeaderSize:], uint32(-errno))
}

// IPQErrorEcho returns how many bytes of a request its answer repeats.
func IPQErrorEcho(errno int32, request []byte) int {
	if errno == 0 {
		return IPQHeaderSize
	}
	return len(request)
}

// AppendIPQError appends a whole NLMSG_ERROR datagram. request is cut to its
// nlmsg_len and has at least a header.
func AppendIPQError(b []byte, errno int32, port uint32, request []byte) []byte {
	b, head := grow(b, IPQErrorSize)
	PutIPQError(head, errno, port, request)
	echo := IPQErrorEcho(errno, request)
	b = append(b, request[:echo]...)
	b, _ = grow(b, IPQAlign(echo)-echo)
	return b
}

// DecodeIPQError reads an NLMSG_ERROR message. Request is a part of msg.
func DecodeIPQError(msg []byte) (IPQError, error) {
	h, err := DecodeIPQHeader(msg)
	if err != nil {
		return IPQError{}, err
	}
	if h.Len < IPQAckSize || uint64(h.Len) > uint64(len(msg)) {
		return IPQError{}, ErrIPQShort
	}
	return IPQError{
		Errno:   -int32(binary.NativeEndian.Uint32(msg[IPQHeaderSize:])),
		Seq:     h.Seq,
		PID:     h.PID,
		Request: msg[IPQErrorSize:h.Len],
	}, nil
}
