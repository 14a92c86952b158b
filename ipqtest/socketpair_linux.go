package ipqtest

import (
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
