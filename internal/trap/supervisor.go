//go:build linux

package trap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ipq/ipqueue"
)

// A supervisor answers the calls of one program and of its descendants.
type supervisor struct {
	listener listener
	handler  Handler
	report   func(message string)
	sockets  *sockets
	maxFD    int      // a descriptor for a new socket must be below
	outside  int      // seccomp filters that processes have which are not under the listener
	reported sync.Map // what was reported, and is not again
}

// serve answers until no thread with the filter is left.
func (s *supervisor) serve() error {
	seal(s.report)
	s.listener.wakeTogether()
	go s.watchSockets()
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
	o := s.decide(id, t, c)
	for pause := time.Millisecond; o.lack != nil && pause < scarceTime; pause *= 2 {
		time.Sleep(pause)
		o = s.decide(id, t, c)
	}
	if o.lack != nil {
		s.once("lack of "+o.errno.Error(), fmt.Sprintf("a call of the program fails with %q: %v; a queue handler has at most 1,024 "+
			"ip_queue sockets, and ipq run needs a descriptor for each (ulimit -Hn)", o.errno, o.lack))
	}
	switch {
	case o.ended:
	case o.native:
		s.listener.resume(id)
	default:
		s.listener.answer(id, o.errno)
	}
}

// decide finds the outcome of a call. That of a thread which is gone is of no
// account.
func (s *supervisor) decide(id uint64, t thread, c call) outcome {
	var m *memory
	if c.name != callSocket {
		var err error
		switch m, err = openMemory(t); {
		case err == nil:
			defer m.Close()
		case scarce(err) != 0:
			return lacking(err)
		case c.name != callBind && errors.Is(err, fs.ErrPermission):
			s.hidden(id, t, "memory", err)
		}
	}
	if !s.listener.waiting(id) {
		return native // gone, and m may be another's
	}
	if c.name == callSocketcall {
		if m == nil {
			return native
		}
		var errno unix.Errno
		if c, errno = c.unpack(m); errno != 0 {
			return native // the kernel will say EFAULT itself
		}
	}
	switch c.name {
	case callSocket:
		return s.socket(id, t, c)
	case callBind:
		return s.bind(id, t, c, m)
	case callGetsockname:
		return s.getsockname(id, t, c, m)
	}
	return native
}

func (s *supervisor) socket(id uint64, t thread, c call) outcome {
	protocol, ok := c.wants()
	if !ok {
		return native
	}
	// Without a view of its descriptors the bind that follows would go to the
	// kernel, and fail in a way that explains nothing. Better fail here.
	switch err := t.seen(); {
	case err == nil:
	case scarce(err) != 0:
		return lacking(err)
	default:
		s.hidden(id, t, "descriptors", err)
		return native // EPROTONOSUPPORT, as ever
	}
	who, o, ok := s.identify(t)
	if !ok {
		return o
	}
	return s.connect(id, who, protocol, c)
}

// identify returns who made a call. ok is false when that cannot be read; o is
// then what the call comes to.
func (s *supervisor) identify(t thread) (who identity, o outcome, ok bool) {
	switch who, err := t.identity(); {
	case err == nil:
		return who, outcome{}, true
	case scarce(err) != 0:
		return identity{}, lacking(err), false
	}
	return identity{}, native, false // gone
}

// connect gives the thread a connection to the queue handler. A queue handler
// that does not answer is to the program a kernel without ip_queue.
func (s *supervisor) connect(id uint64, who identity, protocol int, c call) outcome {
	hello := ipqueue.Hello{Family: ipqueue.IPv4, WordSize: c.word} // bound to nothing yet
	if protocol == netlinkIP6FW {
		hello.Family = ipqueue.IPv6
	}
	f, err := s.handler.Connect(hello)
	switch {
	case err == nil:
	case scarce(err) != 0:
		return lacking(err)
	default:
		s.once("connect: "+err.Error(), fmt.Sprintf("no ip_queue socket for process %d: %v", who.pid, err))
		return failed(unix.EPROTONOSUPPORT)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return failed(unix.EPROTONOSUPPORT)
	}
	o, released := failed(unix.EPROTONOSUPPORT), func() {}
	raw.Control(func(fd uintptr) { o, released = s.inject(id, int(fd), protocol, int32(c.args[1]), who.effective) })
	f.Close()
	released()
	return o
}

func (s *supervisor) inject(id uint64, fd, protocol int, kind int32, owner uint32) (o outcome, released func()) {
	// The kernel gives out the lowest number that is free. The last ones are for
	// calls about the sockets that there are.
	if fd >= s.maxFD {
		return lacking(unix.EMFILE), func() {}
	}
	// The flag belongs to the open file, so it arrives with it.
	if err := unix.SetNonblock(fd, kind&unix.SOCK_NONBLOCK != 0); err != nil {
		return failed(unix.ENOBUFS), func() {}
	}
	// First known, then given: the next call may be a bind by another thread.
	released, err := s.sockets.add(fd, protocol, owner)
	if err != nil {
		s.once("add", fmt.Sprintf("cannot take note of a socket: %v", err))
		return failed(unix.ENOBUFS), func() {}
	}
	// EMFILE is the program's own limit; ENOENT: it is gone, so never sees it.
	if errno := s.listener.inject(id, fd, kind&unix.SOCK_CLOEXEC != 0); errno != 0 {
		return failed(errno), released
	}
	return outcome{ended: true}, released
}

// hidden reports that the system keeps a process from us, if that is what the
// error means: it is the same for a thread that is gone.
func (s *supervisor) hidden(id uint64, t thread, what string, err error) {
	if !s.listener.waiting(id) {
		return
	}
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
