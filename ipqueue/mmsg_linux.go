package ipqueue

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2) and sendmmsg(2). Go pads it behind n
// as C does; a field of no size there would add to it.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// recvmmsg fills messages without waiting; n is the length that each was sent
// with, also when it was cut. The call is raw, without telling the
// scheduler, because it never blocks.
func recvmmsg(fd uintptr, messages []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&messages[0])),
		uintptr(len(messages)), unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
	return int(n), errno
}

// sendmmsg sends messages without waiting, each a datagram, and stops at the
// first that fails; the error is that of the first message alone.
func sendmmsg(fd uintptr, messages []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&messages[0])),
		uintptr(len(messages)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}
