//go:build linux

package nlsock

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A bell is what the runtime's poller watches for a socket. In the poller itself a netlink socket makes the kernel wake one
// of the program's idle threads for each datagram, also while its reader is at work and will come to it anyway; under load
// the sender pays for that, and whoever shares a core with the thread. So an epoll descriptor is put in between, which
// watches the socket, is watched by the poller, and can be made silent.
type bell struct {
	f      *os.File
	rc     syscall.RawConn
	apart  bool // f is that epoll descriptor, and not the socket
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
	b := &bell{f: os.NewFile(uintptr(fd), "epoll"), apart: true, event: unix.EpollEvent{Events: unix.EPOLLIN}}
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

// epollNests reports whether one epoll descriptor can watch another for edges. Before Linux 5.5 it reported the same one
// again and again for as long as nobody read, and before 5.7 it could miss one.
var epollNests = sync.OnceValue(func() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return major > 5 || major == 5 && minor >= 7
})

// outsidePoller makes a file that the runtime's poller leaves alone, as it does with those that block. Who shares the socket
// may rely on its not blocking, so it is as it was afterwards. Every call here says MSG_DONTWAIT.
func outsidePoller(socket int) (*os.File, error) {
	flags, err := unix.FcntlInt(uintptr(socket), unix.F_GETFL, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if flags&unix.O_NONBLOCK != 0 {
		if err := unix.SetNonblock(socket, false); err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		defer unix.SetNonblock(socket, true) // cannot fail: it was so
	}
	return os.NewFile(uintptr(socket), "netlink"), nil
}
