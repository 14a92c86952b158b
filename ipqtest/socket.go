package ipqtest

import (
	"errors"
	"os"
	"slices"
	"sync"
)

// maxDatagram is more than a program can send at once: its send buffer is smaller.
const maxDatagram = 1 << 18

// errNothing says that nothing has been sent.
var errNothing = errors.New("nothing to receive")

// socket is the kernel's end of a netlink socket.
type socket struct {
	file *os.File

	mu      sync.Mutex
	wake    sync.Cond
	out     [][]byte // what did not fit yet, without a bound: what is lost is lost on purpose, never by chance
	writing bool     // out's first, which was taken from it
	closed  bool
}

// connect serves a socket until one of its ends is closed.
func (k *Kernel) connect(file *os.File) {
	s := &socket{file: file}
	s.wake.L = &s.mu
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		file.Close()
		return
	}
	k.sockets = append(k.sockets, s)
	k.running.Go(func() { k.read(s) })
	k.running.Go(s.write)
}

// read deals with what the program sends, as it comes.
func (k *Kernel) read(s *socket) {
	for s.readable() {
		k.lock()
		k.mu.Unlock()
	}
}

// lock locks mu and deals with everything that programs have sent until now. A real kernel has done what a message says
// when the program's system call returns; with this nobody can see that here it is done a moment later.
func (k *Kernel) lock() {
	k.mu.Lock()
	// Owners first: one of them may have given up the queue that another asks for.
	for _, owners := range []bool{true, false} {
		for _, s := range slices.Clone(k.sockets) {
			if k.owns(s) == owners && !k.drain(s) {
				k.hangUp(s)
			}
		}
	}
}

func (k *Kernel) owns(s *socket) bool {
	for _, q := range k.queues {
		if q.owner == s {
			return true
		}
	}
	return false
}

// hangUp does what the kernel does when a program has closed its end.
func (k *Kernel) hangUp(s *socket) {
	for number, q := range k.queues {
		if q.owner == s {
			k.destroy(number)
		}
	}
	k.sockets = slices.DeleteFunc(k.sockets, func(x *socket) bool { return x == s })
	s.close()
}

// drain takes the requests that wait in a socket. It reports false when the program has closed its end.
func (k *Kernel) drain(s *socket) (open bool) {
	for {
		n, err := s.receive(k.buf)
		if err != nil {
			return err == errNothing
		}
		k.receive(s, k.buf[:n])
	}
}

// send puts a datagram where the program can receive it, as soon as there is room. It never blocks.
func (s *socket) send(datagram []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case len(s.out) == 0 && !s.writing && s.fits(datagram):
	default:
		s.out = append(s.out, datagram)
		s.wake.Signal()
	}
}

// write sends what did not fit at once.
func (s *socket) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.out) == 0 && !s.closed {
			s.wake.Wait()
		}
		if s.closed {
			return
		}
		next := s.out[0]
		s.out, s.writing = s.out[1:], true
		s.mu.Unlock()
		s.file.Write(next) // a program that is gone is noticed by read
		s.mu.Lock()
		s.writing = false
	}
}

func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.out = true, nil
	s.wake.Signal()
	s.file.Close()
}
