package ipqueue

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// linkWatcher hears of interfaces that go down, change or vanish. The kernel's
// queue drops the packets of such an interface and says nothing; ip_queue did the
// same to its own, so the handler must learn of it another way.
type linkWatcher struct {
	file    *os.File
	changed func(index uint32, down bool)
	missed  func() // some events were lost
}

func openLinks() (*linkWatcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listening for link changes: %w", os.NewSyscallError("bind", err))
	}
	return &linkWatcher{file: os.NewFile(uintptr(fd), "link changes")}, nil
}

func (w *linkWatcher) close() { w.file.Close() }

// run reports changes until close.
func (w *linkWatcher) run() {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return
	}
	b := make([]byte, 64<<10)
	for {
		var n int
		var from unix.Sockaddr
		var errno error
		err := raw.Read(func(fd uintptr) bool {
			n, from, errno = unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT)
			return errno != unix.EAGAIN && errno != unix.EINTR
		})
		switch {
		case err != nil:
			return
		case errno == unix.ENOBUFS:
			w.missed()
		case errno != nil:
			return
		default:
			if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 {
				w.parse(b[:n])
			}
		}
	}
}

// parse reads the messages of one datagram: struct nlmsghdr, struct ifinfomsg,
// attributes that do not matter here.
func (w *linkWatcher) parse(b []byte) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		kind := binary.NativeEndian.Uint16(b[4:])
		if body := b[unix.SizeofNlMsghdr:size]; len(body) >= unix.SizeofIfInfomsg {
			index := binary.NativeEndian.Uint32(body[4:])
			flags, change := binary.NativeEndian.Uint32(body[8:]), binary.NativeEndian.Uint32(body[12:])
			switch {
			case kind == unix.RTM_DELLINK && body[0] == unix.AF_UNSPEC:
				w.changed(index, true)
			case kind == unix.RTM_NEWLINK:
				// An interface that is not up has not always gone down: it is new (all of
				// its flags have changed) or something else of it is. When this is read it
				// may be up, and have packets.
				w.changed(index, flags&unix.IFF_UP == 0 && change&unix.IFF_UP != 0 && change != ^uint32(0))
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
}
