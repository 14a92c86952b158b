package ipqueue

import (
	"net"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// SetMaxLen changes the longest queue of a family while the handler runs, as a
// write to ip_queue_maxlen did.
func (h *Handler) SetMaxLen(family uint8, n uint32) {
	f := h.ipv4
	if family == IPv6 {
		f = h.ipv6
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.brain.maxLen = n
}

// Settle returns when every packet that has been offered has been sent.
func (h *Handler) Settle() { h.settle() }

var (
	NewPair  = newPair
	NewInbox = newInbox
	Unread   = unread
)

func (in *inbox) Receive(fd uintptr) (int, unix.Errno) { return in.receive(fd) }
func (in *inbox) Datagram(i int) ([]byte, bool)        { return in.datagram(i) }
func (in *inbox) Sender(i int) (unix.Ucred, bool)      { return in.sender(i) }

// Machine is the brain of one family. Its packets are named by numbers.
type Machine struct{ m *machine[int] }

func NewMachine(family uint8, maxLen uint32) *Machine {
	return &Machine{newMachine[int](family, maxLen)}
}

// Reaction is what a datagram led to.
type Reaction struct {
	Ack, Nack bool
	Errno     unix.Errno
	Echo      []byte // what a nack repeats
	Answered  bool
	Packet    int
	Verdict   uint32
	Payload   []byte
}

func (m *Machine) Request(layout wire.IPQLayout, datagram []byte, privileged bool) Reaction {
	d, h, settled := admit[int](datagram, privileged)
	if !settled {
		d = m.m.request(d, h, layout)
	}
	r := Reaction{Ack: d.reply == replyAck, Nack: d.reply == replyNack, Errno: d.errno, Answered: d.answer, Packet: d.key, Verdict: d.verdict, Payload: d.payload}
	if r.Nack {
		r.Echo = d.request
	}
	return r
}

func (m *Machine) Offer(packet, length int, devs [4]uint32) (id uint32, copied int, ok bool) {
	return m.m.offer(packet, devs, length)
}

func (m *Machine) Refuse(id uint32) (int, bool) { return m.m.refuse(id) }

func (m *Machine) Release() []int {
	var all []int
	m.m.release(func(k int) { all = append(all, k) })
	return all
}

func (m *Machine) LinkDown(index uint32) []int {
	var all []int
	m.m.linkDown(index, func(k int) { all = append(all, k) })
	return all
}

// State is peer, mode, range, length, and drops by the queue and by netlink.
func (m *Machine) State() [6]uint32 {
	return [6]uint32{m.m.peer, uint32(m.m.mode), m.m.rng, uint32(m.m.held.n), m.m.stats.queueDropped, m.m.stats.netlinkDropped}
}

// StartIDs makes n the last id that was given out.
func (m *Machine) StartIDs(n uint32) { m.m.id = n }

// OpenIdle starts a handler that has no queue, and so needs no privilege.
func OpenIdle(config Config) *Handler { return newHandler(config) }

// Greet answers a client of the service's socket.
func (h *Handler) Greet(c *net.UnixConn) { h.greet(c, asker{}) }

// LinkChange is what a datagram of the kernel says of an interface.
type LinkChange struct {
	Index uint32
	Down  bool
}

func ParseLinks(b []byte) (all []LinkChange) {
	w := &linkWatcher{changed: func(index uint32, down bool) { all = append(all, LinkChange{index, down}) }}
	w.parse(b)
	return all
}
