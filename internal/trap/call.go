//go:build linux

package trap

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A call is a caught system call, in whichever way it was made.
type call struct {
	name callName
	args [3]uint64 // pointers are zero-extended; an int is the low half
	word int       // bits in a long of the caller
}

type callName uint8

const (
	callOther callName = iota
	callSocket
	callBind
	callGetsockname
	callSocketcall // the real call and its arguments are in memory, at args[1]
)

// decode says what a notification is about. Where the filter and this table
// disagree the answer is callOther, which is left to the kernel.
func decode(n *notification) call {
	abi, ok := abiOf(n.arch)
	if !ok {
		return call{}
	}
	c := call{args: [3]uint64(n.args[:3]), word: abi.word}
	if n.nr&abi.ignore != 0 { // x32: 32-bit longs, the 64-bit calling convention
		c.word = 32
	}
	switch nr := n.nr &^ abi.ignore; {
	case nr == abi.socket:
		c.name = callSocket
	case nr == abi.bind:
		c.name = callBind
	case nr == abi.getsockname:
		c.name = callGetsockname
	case nr == abi.socketcall && abi.socketcall != 0:
		c.name = callSocketcall
	}
	return c
}

// unpack replaces a socketcall by the call that it stands for.
func (c call) unpack(m *memory) (call, unix.Errno) {
	var b [12]byte // all three calls have three arguments, each an unsigned long
	if errno := m.read(c.args[1], b[:]); errno != 0 {
		return call{}, errno
	}
	u := call{word: c.word}
	switch uint32(c.args[0]) {
	case socketcallSocket:
		u.name = callSocket
	case socketcallBind:
		u.name = callBind
	case socketcallGetsockname:
		u.name = callGetsockname
	}
	for i := range u.args {
		u.args[i] = uint64(binary.NativeEndian.Uint32(b[4*i:]))
	}
	return u, 0
}

// socketTypes are the bits of a socket's type that name a kind; the others are
// SOCK_CLOEXEC and SOCK_NONBLOCK.
const socketTypes = 0xf

// wants tells whether a socket call asks for what ip_queue served. The kernel
// answers the others, and so finds the same fault in them as ever.
func (c call) wants() (protocol int, ok bool) {
	domain, kind, protocol := int32(c.args[0]), int32(c.args[1]), int(int32(c.args[2]))
	switch {
	case domain != unix.AF_NETLINK,
		protocol != netlinkFirewall && protocol != netlinkIP6FW,
		kind&^(socketTypes|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK) != 0:
		return 0, false
	}
	kind &= socketTypes
	return protocol, kind == unix.SOCK_RAW || kind == unix.SOCK_DGRAM
}

// An address is what bind is given, struct sockaddr_nl.
type address struct {
	port   uint32
	groups uint32
}

const (
	addressLen    = 12  // sizeof(struct sockaddr_nl)
	addressLenMax = 128 // sizeof(struct sockaddr_storage)
)

// parseAddress finds the same faults as netlink_bind.
func parseAddress(b []byte) (address, unix.Errno) {
	if len(b) < addressLen || binary.NativeEndian.Uint16(b) != unix.AF_NETLINK {
		return address{}, unix.EINVAL
	}
	return address{binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[8:])}, 0
}

// appendAddress writes what netlink_getname does.
func appendAddress(b []byte, a address) []byte {
	b = binary.NativeEndian.AppendUint16(b, unix.AF_NETLINK)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint32(b, a.port)
	return binary.NativeEndian.AppendUint32(b, a.groups)
}
