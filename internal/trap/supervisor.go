//go:build linux

package trap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"ipq/ipqueue"
)

// A supervisor answers the calls of one program and of its descendants.
type supervisor struct {
	listener listener
	handler  Handler
	report   func(message string)
	sockets  *sockets
	reported sync.Map // what was reported, and is not again
}

// serve answers until no thread with the filter is left.
func (s *supervisor) serve() error {
	seal(s.report)
	s.listener.wakeTogether()
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		var n notification
		if more, err := s.listener.wait(); !more {
			return err
		}
		switch errno := s.listener.receive(&n); {
		case errno == unix.ENOENT: // killed meanwhile
		case errno != 0:
			return fmt.Errorf("seccomp: receive a notification: %w", errno)
		case s.foreign(&n):
			s.listener.resume(n.id)
		default:
			// Beside the loop: getting a connection can take its time, and so can
			// the memory of a program that plays with it.
			calls.Go(func() { s.handle(n.id, thread(n.tid), decode(&n)) })
		}
	}
}

// foreign tells, as cheaply as possible, that a call is about a socket that is
// not ours. Most are.
func (s *supervisor) foreign(n *notification) bool {
	c := decode(n)
	switch c.name {
	case callBind, callGetsockname:
		if s.sockets.empty() {
			return true
		}
		i, ok := thread(n.tid).socket(int32(c.args[0]))
		return !ok || !s.sockets.has(i)
	case callSocketcall:
		return s.sockets.empty() && uint32(c.args[0]) != socketcallSocket
	}
	return c.name == callOther
}

// handle gives one call its answer.
func (s *supervisor) handle(id uint64, t thread, c call) {
	var m *memory
	if c.name != callSocket {
		var err error
		switch m, err = openMemory(t); {
		case err == nil:
			defer m.Close()
		case c.name != callBind && errors.Is(err, fs.ErrPermission):
			s.hidden(t, "memory", err)
		}
	}
	if !s.listener.waiting(id) {
		return // gone, and m may be another's
	}
	if c.name == callSocketcall {
		var errno unix.Errno
		if m == nil {
			s.listener.resume(id)
			return
		}
		if c, errno = c.unpack(m); errno != 0 {
			s.listener.resume(id) // the kernel will say EFAULT itself
			return
		}
	}
	switch c.name {
	case callSocket:
		s.socket(id, t, c)
	case callBind:
		s.bind(id, t, c, m)
	case callGetsockname:
		s.getsockname(id, t, c, m)
	default:
		s.listener.resume(id)
	}
}

func (s *supervisor) socket(id uint64, t thread, c call) {
	protocol, ok := c.wants()
	if !ok {
		s.listener.resume(id)
		return
	}
	// Without a view of its descriptors the bind that follows would go to the
	// kernel, and fail in a way that explains nothing. Better fail here.
	if err := t.seen(); err != nil {
		s.hidden(t, "descriptors", err)
		s.listener.resume(id) // EPROTONOSUPPORT, as ever
		return
	}
	who, err := t.identity()
	if err != nil {
		s.listener.resume(id) // gone
		return
	}
	if errno := s.inject(id, who, protocol, c); errno != 0 {
		s.listener.answer(id, errno)
	}
}

// inject gives the thread a connection to the queue handler. A queue handler
// that does not answer is to the program a kernel without ip_queue.
func (s *supervisor) inject(id uint64, who identity, protocol int, c call) unix.Errno {
	hello := ipqueue.Hello{Family: ipqueue.IPv4, WordSize: c.word, PID: int(who.pid)}
	if protocol == netlinkIP6FW {
		hello.Family = ipqueue.IPv6
	}
	f, err := s.handler.Connect(hello)
	if err != nil {
		s.once("connect: "+err.Error(), fmt.Sprintf("no ip_queue socket for process %d: %v", who.pid, err))
		return unix.EPROTONOSUPPORT
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return unix.EPROTONOSUPPORT
	}
	errno, released := unix.EPROTONOSUPPORT, func() {}
	raw.Control(func(fd uintptr) { errno, released = s.injectFD(id, int(fd), protocol, int32(c.args[1])) })
	f.Close()
	released()
	return errno
}

func (s *supervisor) injectFD(id uint64, fd, protocol int, kind int32) (errno unix.Errno, released func()) {
	// The flag belongs to the open file, so it arrives with it.
	if err := unix.SetNonblock(fd, kind&unix.SOCK_NONBLOCK != 0); err != nil {
		return unix.ENOBUFS, func() {}
	}
	// First known, then given: the next call may be a bind by another thread.
	released, err := s.sockets.add(fd, protocol)
	if err != nil {
		s.once("add", fmt.Sprintf("cannot take note of a socket: %v", err))
		return unix.ENOBUFS, func() {}
	}
	// EMFILE is the program's own limit; ENOENT: it is gone, so never sees it.
	return s.listener.inject(id, fd, kind&unix.SOCK_CLOEXEC != 0), released
}

func (s *supervisor) bind(id uint64, t thread, c call, m *memory) {
	i, ok := t.socket(int32(c.args[0]))
	if !ok || !s.sockets.has(i) {
		s.listener.resume(id)
		return
	}
	who, err := t.identity()
	if err != nil || !s.listener.waiting(id) {
		return // gone
	}
	a, errno := bindAddress(c, m, who)
	if errno == 0 {
		errno, ok = s.sockets.bind(i, a, who.pid)
	}
	if !ok {
		s.listener.resume(id)
		return
	}
	s.listener.answer(id, errno)
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

func (s *supervisor) getsockname(id uint64, t thread, c call, m *memory) {
	i, ok := t.socket(int32(c.args[0]))
	if !ok || !s.sockets.has(i) {
		s.listener.resume(id)
		return
	}
	who, err := t.identity()
	if err != nil || !s.listener.waiting(id) {
		return // gone
	}
	if m == nil {
		s.listener.answer(id, unix.EPERM)
		return
	}
	a, ok := s.sockets.name(i, who.pid)
	if !ok {
		s.listener.resume(id)
		return
	}
	s.listener.answer(id, writeName(m, c.args[1], c.args[2], a))
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

// hidden reports that the system keeps a process from us.
func (s *supervisor) hidden(t thread, what string, err error) {
	name, _ := os.ReadFile(t.path("comm"))
	s.once(what, fmt.Sprintf("cannot see the %s of thread %d (%q), so an ip_queue socket that it opens may not work: %v; "+
		"run the program as the same user as ipq run, or ipq run as root. Programs that may not be read, "+
		"and Yama (/proc/sys/kernel/yama/ptrace_scope above 0), cause this",
		what, t, strings.TrimSpace(string(name)), err))
}

// once reports the first message with a key: a program that tries again and
// again must not fill a disk.
func (s *supervisor) once(key, message string) {
	if _, again := s.reported.LoadOrStore(key, true); !again {
		s.report(message)
	}
}
