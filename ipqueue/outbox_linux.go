package ipqueue

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

const outboxSlots = 64

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

	n        int // datagrams added
	sent     int // of them, by flush
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

// flush sends what was added and returns how many datagrams the socket took, in
// order; the rest is lost.
func (o *outbox) flush() int {
	if o.n == 0 {
		return 0
	}
	o.sent = 0
	_ = o.raw.Control(o.try) // fails when the socket is closed: nothing was sent
	sent := o.sent
	o.n = 0
	return sent
}

func (o *outbox) trySend(fd uintptr) {
	if o.congested {
		if unread(fd) != 0 {
			return
		}
		o.congested = false
	}
	for o.sent < o.n {
		n, errno := sendmmsg(fd, o.messages[o.sent:o.n])
		switch errno {
		case 0:
			o.sent += n
		case unix.EINTR:
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
