package ipqtest

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// maxDatagram is more than a program can send at once: its send buffer is smaller.
const maxDatagram = 1 << 18

// socket is the kernel's end of a netlink socket.
type socket struct {
	file *os.File

	mu     sync.Mutex
	wake   sync.Cond
	out    [][]byte // datagrams to be sent, without a bound: what is lost is lost on purpose, never by chance
	closed bool
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
	k.sockets[s] = true
	k.running.Go(func() { k.read(s) })
	k.running.Go(s.write)
}

// read takes requests until the program closes its end, which unbinds its queues.
func (k *Kernel) read(s *socket) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := s.file.Read(buf)
		if errors.Is(err, syscall.ECONNRESET) {
			continue // the program closed with messages unread; what it sent before is still to come
		}
		if err != nil {
			break
		}
		k.receive(s, buf[:n])
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for number, q := range k.queues {
		if q.owner == s {
			k.destroy(number)
		}
	}
	delete(k.sockets, s)
	s.close()
}

// send appends a datagram to those that are to be sent. It never blocks.
func (s *socket) send(datagram []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.out = append(s.out, datagram)
		s.wake.Signal()
	}
}

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
		s.out = s.out[1:]
		s.mu.Unlock()
		s.file.Write(next) // a program that is gone is noticed by read
		s.mu.Lock()
	}
}

func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.out = true, nil
	s.wake.Signal()
	s.file.Close()
}
