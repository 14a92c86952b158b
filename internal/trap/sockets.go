//go:build linux

package trap

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// A sockets is the set of the sockets that were injected and are still open
// somewhere, with their netlink ports: what the hash table of af_netlink.c was.
//
// To know that one is closed without keeping it open, each is registered in an
// epoll set, and our own descriptor is closed. The kernel keeps such a
// registration exactly as long as the open file exists, in whichever processes.
type sockets struct {
	mu    sync.Mutex
	epoll *epollSet
	key   int32 // of the registration made last
	open  map[inode]*socket
	crowd int // size of the set at which to look for closed ones
}

// A socket is one that was injected.
type socket struct {
	key      int32
	protocol int
	address  // port 0: not bound

	released chan struct{} // closed when our own descriptor is
}

const smallCrowd = 16

func newSockets() (*sockets, error) {
	epoll, err := newEpollSet()
	if err != nil {
		return nil, err
	}
	return &sockets{epoll: epoll, open: make(map[inode]*socket), crowd: smallCrowd}, nil
}

func (s *sockets) Close() { s.epoll.Close() }

// add takes note of the socket behind fd, which a thread of the user owner opens.
// The caller closes fd when the program has it, and then calls released.
func (s *sockets) add(fd int, protocol int, owner uint32) (released func(), err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("fstat: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.crowd {
		s.sweep()
		s.crowd = max(smallCrowd, 2*len(s.open))
	}
	s.key++
	if err := s.epoll.add(fd, s.key, owner); err != nil {
		return nil, err
	}
	k := &socket{key: s.key, protocol: protocol, released: make(chan struct{})}
	s.open[inode(st.Ino)] = k
	return func() { close(k.released) }, nil
}

// empty tells whether there is no socket that a call could be about.
func (s *sockets) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open) == 0
}

func (s *sockets) has(i inode) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[i] != nil
}

// bind gives a socket a port, which it returns: the one asked for, or for 0 one of
// the kernel's choice. The errno are netlink's. It is false for a socket that is
// not ours.
func (s *sockets) bind(i inode, a address, pid uint32) (uint32, unix.Errno, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.open[i]
	switch {
	case k == nil:
		return 0, 0, false
	case k.port != 0 && k.port != a.port:
		return 0, unix.EINVAL, true
	case k.port != 0: // only the groups are new
	case a.port == 0:
		a.port = s.autobind(k.protocol, pid)
	case s.taken(k.protocol, a.port):
		return 0, unix.EADDRINUSE, true
	}
	k.address = a
	return a.port, 0, true
}

// rebind gives a socket the port that the queue handler knows it by; 0 is none.
func (s *sockets) rebind(i inode, port uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.open[i]; k != nil {
		k.port = port
	}
}

// name returns the address of a socket; one that was never bound gets a port.
// It is false for a socket that is not ours.
func (s *sockets) name(i inode, pid uint32) (address, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.open[i]
	if k == nil {
		return address{}, false
	}
	if k.port == 0 {
		k.port = s.autobind(k.protocol, pid)
	}
	return k.address, true
}

// autobind chooses as netlink_autobind of Linux 3.4 did: the process id, and
// when that is taken the first free port from -4097 on downwards.
func (s *sockets) autobind(protocol int, pid uint32) uint32 {
	if !s.taken(protocol, pid) {
		return pid
	}
	ports := make(map[uint32]bool)
	for _, k := range s.open {
		if k.protocol == protocol {
			ports[k.port] = true
		}
	}
	next := int32(-4097)
	for ports[uint32(next)] {
		next--
	}
	return uint32(next)
}

// taken tells whether an open socket of the protocol has the port.
func (s *sockets) taken(protocol int, port uint32) bool {
	k := s.owner(protocol, port)
	if k == nil {
		return false
	}
	// The program may have closed it by now, even before we could close our own
	// descriptor, which happens right after the program got it.
	<-k.released
	s.sweep()
	return s.owner(protocol, port) != nil
}

func (s *sockets) owner(protocol int, port uint32) *socket {
	for _, k := range s.open {
		if k.protocol == protocol && k.port == port {
			return k
		}
	}
	return nil
}

// still returns those of the sockets with the keys that are open, with their owners.
func (s *sockets) still(keys map[int32]bool) map[inode]uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	registered, _ := s.epoll.registered()
	open := make(map[inode]uint32)
	for key, r := range registered {
		if keys[key] {
			open[r.inode] = r.owner
		}
	}
	return open
}

// sweep forgets the sockets that are closed.
func (s *sockets) sweep() {
	alive, err := s.epoll.registered()
	if err != nil {
		return // better a port too many than a socket of ours that is not known
	}
	for i, k := range s.open {
		if _, ok := alive[k.key]; !ok {
			delete(s.open, i)
		}
	}
}
