//go:build linux

package nlsock

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A bell tells the runtime's poller that a socket has something to read, but only while somebody waits for it. In the
// poller itself a socket makes the kernel wake one of the program's idle threads for each datagram, also while its reader
// is at work and will come to it anyway; under load the sender pays for that, and whoever shares a core with the thread.
//
// It is an epoll descriptor in between: it watches the socket, and the poller watches it.
type bell struct {
	f      *os.File
	rc     syscall.RawConn
	silent bool // belongs to who reads
	event  unix.EpollEvent
}

func newBell(socket int) (*bell, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or os.NewFile would not put it into the poller
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	b := &bell{f: os.NewFile(uintptr(fd), "epoll"), event: unix.EpollEvent{Events: unix.EPOLLIN}}
	if b.rc, err = b.f.SyscallConn(); err == nil {
		err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, socket, &b.event))
	}
	if err != nil {
		b.f.Close()
		return nil, err
	}
	return b, nil
}

// ring makes it ring, or not, for what arrives from now on. What is there already may not make it ring.
func (b *bell) ring(fd, socket int, on bool) {
	if b.event.Events = 0; on {
		b.event.Events = unix.EPOLLIN
	}
	unix.EpollCtl(fd, unix.EPOLL_CTL_MOD, socket, &b.event) // cannot fail: the socket is in it, and both are open
	b.silent = !on
}
