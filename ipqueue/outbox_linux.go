package ipqueue

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

const outboxSlots = 64

// peerBuffer is what the peer's socket gets as SO_SNDBUF, which bounds how much
// a program may leave unread. netlink bounded that by the reader's SO_RCVBUF,
// which a program cannot set on a Unix socket, so this is generous: more than
// 1,024 packets of 1,500 bytes. Every other program has the system's default,
// which is enough for errors.
const peerBuffer = 4 << 20

// outbox sends datagrams to a program in batches. What bounds the program's
// backlog is SO_SNDBUF of the handler's end: when it is reached, everything is
// dropped until the program has read all of it, as a congested netlink socket
// did.
//
// lock, add..., flush, unlock.
type outbox struct {
	mu        sync.Mutex
	raw       syscall.RawConn
	try       func(fd uintptr) // of flush, made once
	congested bool

	n        int    // datagrams added
	next     int    // of them, to be sent by flush
	lost     uint64 // one bit for each that the socket did not take
	messages [outboxSlots]mmsghdr
	iovs     [outboxSlots][3]unix.Iovec
	heads    [outboxSlots][wire.IPQHeaderSize + 96]byte
}

var padding [4]byte

func (o *outbox) init(raw syscall.RawConn) {
	o.raw = raw
	o.try = o.trySend
	for i := range o.messages {
		o.messages[i].hdr.Iov = &o.iovs[i][0]
		o.iovs[i][0].Base = &o.heads[i][0]
		o.iovs[i][2].Base = &padding[0]
	}
}

func (o *outbox) full() bool { return o.n == outboxSlots }

// head returns the memory for the fixed part of the next datagram; add says how
// much of it there is.
func (o *outbox) head() []byte { return o.heads[o.n][:] }

// add completes a datagram: head bytes of head, body, and zeros up to a multiple
// of four. body is read by flush.
func (o *outbox) add(head int, body []byte) {
	iovs := &o.iovs[o.n]
	iovs[0].SetLen(head)
	iovs[1] = unix.Iovec{}
	if len(body) > 0 {
		iovs[1].Base = &body[0]
		iovs[1].SetLen(len(body))
	}
	pad := wire.IPQAlign(head+len(body)) - head - len(body)
	iovs[2].SetLen(pad)
	n := 3
	if pad == 0 {
		n = 2
	}
	o.messages[o.n].hdr.SetIovlen(n)
	o.n++
}

// enlarge makes room for packets, as much as the kernel allows.
func (o *outbox) enlarge() {
	_ = o.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, peerBuffer/2) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, peerBuffer/2) // without privilege up to net.core.wmem_max
		}
	})
}

// flush sends what was added. It returns a bit for each datagram that the socket
// did not take; these are lost.
func (o *outbox) flush() (lost uint64) {
	if o.n == 0 {
		return 0
	}
	o.next, o.lost = 0, 0
	_ = o.raw.Control(o.try) // fails when the socket is closed
	for ; o.next < o.n; o.next++ {
		o.lost |= 1 << o.next
	}
	o.n = 0
	return o.lost
}

func (o *outbox) trySend(fd uintptr) {
	if o.congested {
		if unread(fd) != 0 {
			return
		}
		o.congested = false
	}
	for o.next < o.n {
		n, errno := sendmmsg(fd, o.messages[o.next:o.n])
		switch errno {
		case 0:
			o.next += n
		case unix.EINTR:
		case unix.EMSGSIZE: // larger than the send buffer
			o.lost |= 1 << o.next
			o.next++
		case unix.EPIPE, unix.ECONNRESET:
			return // the program is gone; its goroutine reads the end of file
		default: // EAGAIN, ENOBUFS, ENOMEM
			o.congested = true
			return
		}
	}
}

// unread returns how many bytes, as SO_SNDBUF counts them, the other end has not
// received.
func unread(fd uintptr) int32 {
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, fd, unix.SIOCOUTQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return n
}

// readable returns how many bytes of datagrams wait to be received.
func readable(fd uintptr) uint64 {
	var n int32
	if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, fd, unix.SIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		return 0
	}
	return uint64(n)
}
