package ipqueue

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	inboxSlots = 32

	// inboxSlot is the longest datagram that a program may send. netlink refused
	// more than 212,960 bytes with the default SO_SNDBUF. The odd remainder keeps
	// the slots from sharing cache sets.
	inboxSlot = 256<<10 + 1088
)

// inbox receives datagrams, and who sent them, in batches. Programs seldom send
// more than 40 bytes, so most of its memory is never touched.
type inbox struct {
	messages [inboxSlots]mmsghdr
	iovs     [inboxSlots]unix.Iovec
	control  [inboxSlots]credentialsMessage
	slab     []byte
}

// credentialsMessage has room for one SCM_CREDENTIALS and nothing more: the
// kernel throws away descriptors that a program sends along.
type credentialsMessage struct {
	hdr  unix.Cmsghdr
	cred unix.Ucred
	_    [(8 - (unsafe.Sizeof(unix.Cmsghdr{})+unsafe.Sizeof(unix.Ucred{}))%8) % 8]byte
}

// maxInboxes bounds the memory of a handler's inboxes, whatever programs send:
// 85 MB with those of the two peers, if all were filled.
const maxInboxes = 8

// inboxes are shared by all programs of a handler: one that is silent has none.
//
// A peer does not wait for its turn. Others wait for a peer that leaves, while
// they have an inbox: it would wait for them.
type inboxes struct {
	turn chan struct{} // holds one for each inbox in use by others than peers

	mu   sync.Mutex
	free []*inbox // the last used comes first: it is still in the cache
}

func newInboxes() *inboxes { return &inboxes{turn: make(chan struct{}, maxInboxes)} }

// get takes an inbox, for a peer at once, for others when fewer than maxInboxes
// are in use: after as long as a batch takes.
func (s *inboxes) get(peer bool) *inbox {
	if !peer {
		s.turn <- struct{}{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free)
	if n == 0 {
		return newInbox()
	}
	in := s.free[n-1]
	s.free = s.free[:n-1]
	return in
}

// put gives an inbox back; peer is as it was for get.
func (s *inboxes) put(in *inbox, peer bool) {
	s.mu.Lock()
	s.free = append(s.free, in)
	s.mu.Unlock()
	if !peer {
		<-s.turn
	}
}

func newInbox() *inbox {
	in := &inbox{slab: make([]byte, inboxSlots*inboxSlot)}
	for i := range in.messages {
		in.iovs[i].Base = &in.slab[i*inboxSlot]
		in.iovs[i].SetLen(inboxSlot)
		h := &in.messages[i].hdr
		h.Iov = &in.iovs[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&in.control[i]))
	}
	return in
}

// receive takes what is there.
func (in *inbox) receive(fd uintptr) (int, unix.Errno) {
	for i := range in.messages {
		in.messages[i].hdr.SetControllen(int(unsafe.Sizeof(in.control[i])))
	}
	for {
		n, errno := recvmmsg(fd, in.messages[:])
		// A program that left with packets unread resets the connection: one error,
		// and then what it wrote last can still be read.
		if errno == unix.EINTR || errno == unix.ECONNRESET {
			continue
		}
		return n, errno
	}
}

// bytes is the length of the first n datagrams together.
func (in *inbox) bytes(n int) (sum uint64) {
	for i := range in.messages[:n] {
		sum += uint64(in.messages[i].n)
	}
	return sum
}

// datagram returns message i. eof is true when there was none: an empty datagram
// has ancillary data, the end of file does not. A datagram that is longer than
// its slot comes cut.
func (in *inbox) datagram(i int) (b []byte, eof bool) {
	m := &in.messages[i]
	if m.n == 0 && m.hdr.Controllen == 0 {
		return nil, true
	}
	return in.slab[i*inboxSlot:][:min(int(m.n), inboxSlot)], false
}

// sender returns the credentials that came with message i.
func (in *inbox) sender(i int) (unix.Ucred, bool) {
	c := &in.control[i]
	ok := int(in.messages[i].hdr.Controllen) >= unix.SizeofCmsghdr+unix.SizeofUcred &&
		c.hdr.Level == unix.SOL_SOCKET && c.hdr.Type == unix.SCM_CREDENTIALS
	return c.cred, ok
}
