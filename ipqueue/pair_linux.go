package ipqueue

import (
	"crypto/rand"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newPair makes the two ends of a program's socket. The program's end is
// blocking, as a new netlink socket is; the handler's is not. Both are
// close-on-exec.
//
// The handler's end has an address of 12 bytes, in which a struct sockaddr_nl
// reads as port 0: what recvfrom must report to a libipq program.
func newPair() (handler, program int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("making a socket pair: %w", err)
	}
	handler, program = fds[0], fds[1]
	defer func() {
		if err != nil {
			unix.Close(handler)
			unix.Close(program)
		}
	}()
	if err = unix.SetNonblock(handler, true); err != nil {
		return -1, -1, fmt.Errorf("making a socket non-blocking: %w", err)
	}
	// With SO_PASSCRED every datagram, even an empty one, has ancillary data, so
	// that an end of file is told from it.
	if err = unix.SetsockoptInt(handler, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return -1, -1, fmt.Errorf("asking for the sender's credentials: %w", err)
	}
	if err = bindLikeNetlink(handler); err != nil {
		return -1, -1, err
	}
	return handler, program, nil
}

// sockaddr12 is an abstract Unix address of 12 bytes, laid over a sockaddr_nl.
type sockaddr12 struct {
	family uint16  // nl_family; reads 1, AF_UNIX, instead of 16
	zero   byte    // nl_pad: the NUL that makes the name abstract
	rand3  byte    // nl_pad
	port   [4]byte // nl_pid: zero
	rand8  [4]byte // nl_groups
}

// bindLikeNetlink binds a socket to a random address of the form of sockaddr12.
// There are 2^40 of them in a network namespace, so a second try is rare.
func bindLikeNetlink(fd int) error {
	sa := sockaddr12{family: unix.AF_UNIX}
	for range 64 {
		var r [5]byte
		rand.Read(r[:])
		sa.rand3 = r[0]
		copy(sa.rand8[:], r[1:])
		switch _, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa)); errno {
		case 0:
			return nil
		case unix.EADDRINUSE:
		default:
			return fmt.Errorf("binding a program's socket: %w", errno)
		}
	}
	return fmt.Errorf("binding a program's socket: %w: no free abstract name in 64 tries", unix.EADDRINUSE)
}
