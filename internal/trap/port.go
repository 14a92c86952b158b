//go:build linux

package trap

import (
	"errors"

	"golang.org/x/sys/unix"
)

func (s *supervisor) bind(id uint64, t thread, c call, m *memory) outcome {
	i, ok := t.socket(int32(c.args[0]))
	if !ok || !s.sockets.has(i) {
		return native
	}
	who, o, ok := s.identify(t)
	if !ok {
		return o
	}
	if !s.listener.waiting(id) {
		return native // gone, and what was read may be about another
	}
	a, errno := bindAddress(c, m, who)
	if errno != 0 {
		return failed(errno)
	}
	port, errno, ok := s.sockets.bind(i, a, who.pid)
	switch {
	case !ok:
		return native
	case errno != 0:
		return failed(errno)
	}
	now, err := s.handler.Bind(uint32(i), port)
	switch {
	case errors.Is(err, unix.EADDRINUSE) && a.port != 0: // by a program of another supervisor
		s.sockets.rebind(i, 0)
		return failed(unix.EADDRINUSE)
	case err == nil && now != port: // it has sent a message before
		s.sockets.rebind(i, now)
		return failed(unix.EINVAL)
	}
	return failed(0) // also when the handler is gone, as the socket is then
}

// bindAddress reads the address that a bind is for. The length is looked at
// first: netlink_bind refuses a short one after it was copied, which only a
// pointer that is bad as well could tell. With its memory hidden (Yama lets only
// ancestors in) a program is taken to ask for what libipq asks for.
func bindAddress(c call, m *memory, who identity) (address, unix.Errno) {
	n := int32(c.args[2])
	switch {
	case n < addressLen || n > addressLenMax:
		return address{}, unix.EINVAL
	case m == nil:
		return address{port: who.pid}, 0
	}
	b := make([]byte, n)
	if errno := m.read(c.args[1], b); errno != 0 {
		return address{}, errno
	}
	a, errno := parseAddress(b)
	if errno == 0 && a.groups != 0 && !who.netAdmin {
		errno = unix.EPERM
	}
	return a, errno
}

func (s *supervisor) getsockname(id uint64, t thread, c call, m *memory) outcome {
	i, ok := t.socket(int32(c.args[0]))
	if !ok || !s.sockets.has(i) {
		return native
	}
	who, o, ok := s.identify(t)
	if !ok {
		return o
	}
	if !s.listener.waiting(id) {
		return native // gone, and what was read may be about another
	}
	if m == nil {
		return failed(unix.EPERM)
	}
	a, ok := s.sockets.name(i, who.pid)
	if !ok {
		return native
	}
	if now, err := s.handler.Bind(uint32(i), a.port); err == nil && now != a.port { // it has sent a message before
		s.sockets.rebind(i, now)
		a.port = now
	}
	return failed(writeName(m, c.args[1], c.args[2], a))
}

// writeName is move_addr_to_user of the kernel: as much of the address as there
// is room for, then its true length.
func writeName(m *memory, addr, length uint64, a address) unix.Errno {
	room, errno := m.readInt32(length)
	if errno != 0 {
		return errno
	}
	if room < 0 {
		return unix.EINVAL
	}
	b := appendAddress(nil, a)
	if errno := m.write(addr, b[:min(int(room), len(b))]); errno != 0 {
		return errno
	}
	return m.writeInt32(length, int32(len(b)))
}
