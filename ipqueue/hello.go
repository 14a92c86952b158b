package ipqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// DefaultSocket is where the service listens, and where programs look for it,
// when nothing else is said.
const DefaultSocket = "/run/ipq/ipq.sock"

// Address families, with the numbers of AF_INET and AF_INET6 on Linux.
const (
	IPv4 uint8 = 2
	IPv6 uint8 = 10
)

// Hello says what a program needs to know and say when it asks for a socket.
type Hello struct {
	Family   uint8 // IPv4 (NETLINK_FIREWALL) or IPv6 (NETLINK_IP6_FW)
	WordSize int   // of the program's C long, in bits: 32 or 64; 0 is that of this program
	PID      int   // the port its socket is bound to; 0 when it is bound to none yet
}

// The hello of the service's socket: one datagram each way, in the byte order
// of the host. The answer carries the socket in SCM_RIGHTS when its errno is 0.
//
//	hello   0-3 "ipqh"   4 version 1   5 family   6 word size, bits   7 zero   8-11 pid   12-15 zero
//	bind    0-3 "ipqb"   4 version 1   5-7 zero   8-11 port   12-15 inode of the program's socket
//	status  0-3 "ipqs"   4 version 1   5-15 zero
//	answer  0-3 "ipqa"   4-7 errno, positive, int32; to bind followed by the port, to status by JSON (Status)
const (
	helloMagic  = "ipqh"
	bindMagic   = "ipqb"
	statusMagic = "ipqs"
	answerMagic = "ipqa"

	helloVersion = 1
	helloSize    = 16
	answerSize   = 8
)

var errHello = errors.New("not a hello of this protocol")

func (h Hello) append(b []byte) []byte {
	b = append(b, helloMagic...)
	b = append(b, helloVersion, h.Family, uint8(h.WordSize), 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(h.PID))
	return append(b, 0, 0, 0, 0)
}

// parseBind reads a request to bind a socket; ok is false for any other.
func parseBind(b []byte) (inode, port uint32, ok bool) {
	if len(b) != helloSize || string(b[:4]) != bindMagic || b[4] != helloVersion || b[5]|b[6]|b[7] != 0 {
		return 0, 0, false
	}
	return binary.NativeEndian.Uint32(b[12:]), binary.NativeEndian.Uint32(b[8:]), true
}

// parseHello reads a hello or a status request.
func parseHello(b []byte) (h Hello, status bool, err error) {
	if len(b) != helloSize || b[4] != helloVersion || b[7] != 0 || binary.NativeEndian.Uint32(b[12:]) != 0 {
		return h, false, errHello
	}
	switch string(b[:4]) {
	case helloMagic:
		h = Hello{Family: b[5], WordSize: int(b[6]), PID: int(int32(binary.NativeEndian.Uint32(b[8:])))}
		return h, false, h.check()
	case statusMagic:
		return h, true, nil
	}
	return h, false, errHello
}

func (h Hello) check() error {
	if h.Family != IPv4 && h.Family != IPv6 {
		return fmt.Errorf("address family %d: want %d (IPv4) or %d (IPv6)", h.Family, IPv4, IPv6)
	}
	if h.WordSize != 32 && h.WordSize != 64 {
		return fmt.Errorf("word size %d: want 32 or 64 bits", h.WordSize)
	}
	if h.PID < 0 {
		return fmt.Errorf("port %d: want 0 or more", h.PID)
	}
	return nil
}
