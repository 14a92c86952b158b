package ipqtest

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

func supported() error { return nil }

// socketpair makes the two ends of a connection that keeps datagrams apart and in order, as netlink does.
func socketpair() (kernel, program *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "kernel"), os.NewFile(uintptr(fds[1]), "netlink"), nil
}

// readable waits until there is something to receive. It reports false when the socket is closed.
func (s *socket) readable() bool {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return false
	}
	return raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN
	}) == nil
}

// receive takes a datagram, without waiting.
func (s *socket) receive(buf []byte) (n int, err error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return 0, io.EOF
	}
	if raw.Control(func(fd uintptr) {
		for {
			n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			// A program that closes with messages unread resets the connection; what it sent before is still to come.
			if err != unix.ECONNRESET && err != unix.EINTR {
				return
			}
		}
	}) != nil {
		return 0, io.EOF
	}
	switch {
	case err == unix.EAGAIN:
		return 0, errNothing
	case err != nil || n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// fits sends a datagram without waiting. It reports false if there is no room.
func (s *socket) fits(datagram []byte) bool {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return true
	}
	raw.Control(func(fd uintptr) { err = unix.Send(int(fd), datagram, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) })
	return err != unix.EAGAIN // a program that is gone is noticed by read
}
