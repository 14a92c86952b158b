//go:build linux

package nlsock

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a descriptor that speaks netlink. One goroutine may call Recv and any number Send, all at the same time.
type Conn struct {
	f       *os.File
	rc      syscall.RawConn
	bell    *bell
	netlink bool
	port    uint32
	closed  atomic.Bool

	// What the poller's callbacks work on. They are made once, so that a call allocates nothing.
	recv struct {
		open  func(socket uintptr)
		fn    func(bell uintptr) bool
		fd    int // of the socket
		heads []mmsghdr
		n     int
		errno syscall.Errno
		err   error

		wait     bool // the caller would wait
		waited   bool // and has waited
		patience patience
	}
	send struct {
		sync.Mutex
		fn    func(fd uintptr) bool
		hdr   unix.Msghdr
		n     int
		errno syscall.Errno
	}
}

// Dial opens a netfilter netlink socket in the caller's network namespace and connects it to the kernel, so that the
// kernel refuses messages that other processes send to it.
func Dial() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c, err := dial(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return c, nil
}

func dial(fd int) (*Conn, error) {
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Bind(fd, kernel); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.Connect(fd, kernel); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return wrap(fd, true)
}

// Adopt takes over f: a netlink socket, or an AF_UNIX SOCK_SEQPACKET socket whose peer speaks netlink. f is closed in
// any case; the descriptor itself lives on in the Conn.
func Adopt(f *os.File) (*Conn, error) {
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
	}); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("fcntl", dupErr)
	}
	c, err := adopt(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return c, nil
}

func adopt(fd int) (*Conn, error) {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return nil, fmt.Errorf("the file is not a socket: %w", os.NewSyscallError("getsockopt", err))
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	switch {
	case domain == unix.AF_NETLINK:
		proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		if err != nil {
			return nil, os.NewSyscallError("getsockopt", err)
		}
		if proto != unix.NETLINK_NETFILTER {
			return nil, fmt.Errorf("the netlink socket is of protocol %d, not NETLINK_NETFILTER (%d)", proto, unix.NETLINK_NETFILTER)
		}
	case domain == unix.AF_UNIX && kind == unix.SOCK_SEQPACKET:
	default:
		return nil, fmt.Errorf("the socket is of family %d and type %d: need AF_NETLINK, or AF_UNIX with SOCK_SEQPACKET", domain, kind)
	}
	return wrap(fd, domain == unix.AF_NETLINK)
}

func wrap(fd int, netlink bool) (*Conn, error) {
	c := &Conn{netlink: netlink}
	if netlink {
		name, err := unix.Getsockname(fd)
		if err != nil {
			return nil, os.NewSyscallError("getsockname", err)
		}
		if nl, ok := name.(*unix.SockaddrNetlink); ok {
			c.port = nl.Pid
		}
		for _, option := range [...]int{
			unix.NETLINK_NO_ENOBUFS, // after an overrun go on as soon as there is room, not only when all was read
			unix.NETLINK_CAP_ACK,    // an error must not echo a payload of 64 KiB
		} {
			if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1); err != nil {
				return nil, os.NewSyscallError("setsockopt", err)
			}
		}
	}
	if err := c.watch(fd); err != nil {
		return nil, err
	}
	c.recv.fn = c.tryRecv
	c.recv.open = func(socket uintptr) {
		c.recv.fd = int(socket)
		c.recv.err = c.bell.rc.Read(c.recv.fn)
	}
	c.send.fn = c.trySend
	return c, nil
}

// watch makes c's files. On an error fd is still the caller's.
func (c *Conn) watch(fd int) (err error) {
	// The kernel never makes a sender wait, so that a bell is enough; the other end of a socketpair may.
	if c.netlink && epollNests() {
		if c.bell, err = newBell(fd); err != nil {
			return err
		}
		if c.f, err = outsidePoller(fd); err != nil {
			c.bell.f.Close()
			return err
		}
	} else {
		if err := unix.SetNonblock(fd, true); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
		c.f = os.NewFile(uintptr(fd), "netlink")
	}
	if c.rc, err = c.f.SyscallConn(); err != nil {
		return err
	}
	if c.bell == nil {
		c.bell = &bell{f: c.f, rc: c.rc}
	}
	return nil
}

// Netlink reports whether this is a real netlink socket.
func (c *Conn) Netlink() bool { return c.netlink }

// Port is the socket's netlink port id, as /proc/net/netfilter/nfnetlink_queue shows it; 0 for an adopted socketpair.
func (c *Conn) Port() uint32 { return c.port }

// Recv waits for at least one datagram and takes as many as are there and r holds. It returns how many. ENOBUFS, which
// means that the kernel has dropped something, is returned as it is; it is not fatal. After Close the error is
// os.ErrClosed, after a deadline os.ErrDeadlineExceeded. When the peer of a socketpair is gone, the datagrams are empty.
func (c *Conn) Recv(r *Ring) (int, error) { return c.receive(r, true) }

// TryRecv is Recv without waiting: 0 and a nil error when nothing is there.
func (c *Conn) TryRecv(r *Ring) (int, error) { return c.receive(r, false) }

func (c *Conn) receive(r *Ring, wait bool) (int, error) {
	c.recv.heads, c.recv.wait, c.recv.waited = r.heads, wait, false
	err := c.rc.Control(c.recv.open) // the socket stays open while the bell is waited for
	if err == nil {
		err = c.recv.err
	}
	if err != nil {
		return 0, c.cause(err)
	}
	if c.recv.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", c.recv.errno)
	}
	return c.recv.n, nil
}

// tryRecv always tries to take something before it lets the poller park. The poller is edge-triggered and resets readiness
// on entry: a callback that said "not yet" without having seen EAGAIN would sleep on a packet that is already there.
func (c *Conn) tryRecv(bell uintptr) bool {
	found := c.take()
	if !found && c.recv.wait && c.recv.patience.yield() {
		found = c.take()
		c.recv.patience.told(found)
	}
	switch {
	case !c.bell.apart:
	case found && c.recv.waited: // what is next may be long in coming, so the bell is left as it is
	case found || !c.recv.wait:
		if !c.bell.silent {
			c.bell.ring(int(bell), c.recv.fd, false)
		}
	case c.bell.silent:
		c.bell.ring(int(bell), c.recv.fd, true)
		found = c.take() // for what has come before
	}
	c.recv.waited = !found
	return found || !c.recv.wait
}

// take reports whether something has been received, be it an error.
func (c *Conn) take() bool {
	for {
		// Raw, without telling the scheduler: the call never blocks, and handing the processor away and getting it back
		// costs more than it takes.
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(c.recv.fd), uintptr(unsafe.Pointer(&c.recv.heads[0])),
			uintptr(len(c.recv.heads)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			c.recv.n, c.recv.errno = 0, 0
			return false
		}
		c.recv.n, c.recv.errno = int(n), errno
		return true
	}
}

// Send sends the pieces, at most MaxPieces, as one datagram. On a netlink socket the kernel has done what the messages
// say when Send returns.
func (c *Conn) Send(v *Vector) error {
	if len(v.iovs) == 0 {
		return nil
	}
	c.send.Lock()
	defer c.send.Unlock()
	c.send.hdr.Iov = &v.iovs[0]
	c.send.hdr.SetIovlen(len(v.iovs))
	err := c.rc.Write(c.send.fn)
	c.send.hdr.Iov = nil
	if err != nil {
		return c.cause(err)
	}
	if c.send.errno != 0 {
		return os.NewSyscallError("sendmsg", c.send.errno)
	}
	return nil
}

func (c *Conn) trySend(fd uintptr) bool {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&c.send.hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		c.send.errno = errno
		return true
	}
}

// SetReadDeadline bounds Recv; the zero time means no bound. It may be called while Recv waits.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.cause(c.bell.f.SetReadDeadline(t)) }

// SetWriteDeadline bounds Send, which only the other end of a socketpair can make wait. It may be called while Send waits.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.bell.apart {
		return nil
	}
	return c.cause(c.f.SetWriteDeadline(t))
}

// Close closes the descriptor and wakes a waiting Recv. It may be called more than once, and never waits.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if c.bell.apart {
		c.bell.f.Close()
	}
	return c.f.Close()
}

// Control runs fn on the descriptor, which stays open meanwhile.
func (c *Conn) Control(fn func(fd int)) error {
	return c.cause(c.rc.Control(func(fd uintptr) { fn(int(fd)) }))
}

// cause makes a closed descriptor's error os.ErrClosed, which the poller's own is not, and strips the os.PathError that
// os.File wraps around everything: its operation and name say nothing here.
func (c *Conn) cause(err error) error {
	if err != nil && c.closed.Load() {
		return os.ErrClosed
	}
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
