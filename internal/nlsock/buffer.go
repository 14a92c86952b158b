//go:build linux

package nlsock

import (
	"os"

	"golang.org/x/sys/unix"
)

// SetRecvBuffer asks for a receive buffer of n bytes, as SO_RCVBUF counts them (the kernel doubles the number), and
// returns what was granted, counted the same way. The limit net.core.rmem_max is passed over where the process has
// CAP_NET_ADMIN in the initial user namespace, and holds elsewhere. A socketpair's buffer belongs to its other end: 0.
func (c *Conn) SetRecvBuffer(n int) (granted int, err error) {
	if !c.netlink {
		return 0, nil
	}
	ctlErr := c.Control(func(fd int) {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) != nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n)
		}
		if err == nil {
			granted, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		}
	})
	if ctlErr != nil {
		return 0, ctlErr
	}
	return granted / 2, os.NewSyscallError("setsockopt", err)
}

// MaxSend is the most bytes one Send may carry: the kernel refuses more than the send buffer less 32 with EMSGSIZE.
func (c *Conn) MaxSend() (n int, err error) {
	ctlErr := c.Control(func(fd int) {
		n, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	})
	if ctlErr != nil {
		return 0, ctlErr
	}
	return n - 32, os.NewSyscallError("getsockopt", err)
}

// SetSendBuffer makes room for sends of n bytes, as far as the kernel allows.
func (c *Conn) SetSendBuffer(n int) error {
	return c.Control(func(fd int) {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, n) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, n) // MaxSend tells what came of it
		}
	})
}
