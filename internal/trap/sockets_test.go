//go:build linux

package trap_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/trap"
)

func newSockets(t *testing.T) *trap.Sockets {
	t.Helper()
	s, err := trap.NewSockets()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// newSocket returns a socket of any kind: the set does not care.
func newSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestSocketsForget opens and closes many: the set must not grow with them, and
// must know those that are still open, by whichever descriptor.
func TestSocketsForget(t *testing.T) {
	s := newSockets(t)
	var kept []int
	for i := range 2000 {
		fd := newSocket(t)
		released, err := s.Add(fd, 3)
		if err != nil {
			t.Fatal(err)
		}
		released()
		if i%100 == 0 {
			copy, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, copy)
		}
		unix.Close(fd) // the next one gets the same number
	}
	if s.Size() > 100 {
		t.Errorf("%d sockets are known, and %d are open", s.Size(), len(kept))
	}
	for i, fd := range kept {
		if errno, ok := s.Bind(fd, uint32(100+i), 1); errno != 0 || !ok {
			t.Errorf("socket %d: %v, known %v", i, errno, ok)
		}
		if errno, ok := s.Bind(fd, uint32(100+(i+1)%len(kept)), 1); errno != unix.EINVAL || !ok {
			t.Errorf("socket %d to another port: %v, known %v", i, errno, ok)
		}
		unix.Close(fd)
	}
}

// TestSocketsPassed: a descriptor on its way to another process keeps the port.
func TestSocketsPassed(t *testing.T) {
	s := newSockets(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd, other := newSocket(t), newSocket(t)
	defer unix.Close(other)
	for _, fd := range []int{fd, other} {
		released, err := s.Add(fd, 3)
		if err != nil {
			t.Fatal(err)
		}
		released()
	}
	s.Bind(fd, 7, 1)
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if errno, _ := s.Bind(other, 7, 1); errno != unix.EADDRINUSE {
		t.Errorf("a port whose socket is in flight: %v, want EADDRINUSE", errno)
	}
	unix.Close(pair[0])
	unix.Close(pair[1])
	if errno, _ := s.Bind(other, 7, 1); errno != 0 {
		t.Errorf("a port whose socket is gone: %v", errno)
	}
}

// TestSocketsReleased: a program can close a socket before we have closed our
// own descriptor for it. The port is free then.
func TestSocketsReleased(t *testing.T) {
	s := newSockets(t)
	ours, second := newSocket(t), newSocket(t)
	released, err := s.Add(ours, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(second, 3); err != nil {
		t.Fatal(err)
	}
	s.Bind(ours, 7, 1)
	bound := make(chan unix.Errno, 1)
	go func() {
		errno, _ := s.Bind(second, 7, 1)
		bound <- errno
	}()
	for !s.Busy() { // until it waits for us
		select {
		case errno := <-bound:
			t.Fatalf("a port whose socket is on its way out: %v, at once", errno)
		default:
			runtime.Gosched()
		}
	}
	unix.Close(ours)
	released()
	if errno := <-bound; errno != 0 {
		t.Errorf("the port of a socket that is closed: %v", errno)
	}
	unix.Close(second)
}

func TestSocketsUnknown(t *testing.T) {
	s := newSockets(t)
	fd := newSocket(t)
	defer unix.Close(fd)
	if _, ok := s.Bind(fd, 7, 1); ok {
		t.Error("bound a socket that is not ours")
	}
	if _, ok := s.Name(fd, 1); ok {
		t.Error("named a socket that is not ours")
	}
}
