package ipqueue

import (
	"maps"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// family is the handler of one address family: its brain, and who it talks to.
type family struct {
	mu      sync.Mutex
	brain   *machine[packetID]
	queue   uint16
	peer    *conn // whose socket gets the packets; nil when the slot is free
	conns   map[*conn]bool
	journal journal[packetID, *conn]
}

func newFamily(number uint8, queue uint16, maxLen uint32) *family {
	return &family{brain: newMachine[packetID](number, maxLen), queue: queue, conns: map[*conn]bool{}}
}

// request decides about one datagram. The lock is not taken for those who may not
// use the handler, so that they cannot slow it down.
func (f *family) request(c *conn, datagram []byte, allowed bool) decision[packetID] {
	d, h, settled := admit[packetID](datagram, allowed)
	if settled {
		return d
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d = f.brain.request(d, h, c.layout)
	if d.claimed {
		f.claim(c)
	}
	if d.answer {
		f.journal.add(d.key, c, d.request)
	}
	return d
}

// claim finds the socket that the new peer's packets go to: the one that is
// bound to the port the message named. That is the sender's own, unless it
// named another that exists. A sender that is bound to no such port is taken for
// it: a program in a pid namespace knows itself by another number than the one it
// was announced by. The socket of a process that may not use the handler is none of
// them, whatever port it asked for: it would see the packets. f.mu is held.
func (f *family) claim(c *conn) {
	f.peer = c
	if c.port.Load() != f.brain.peer {
		for other := range f.conns {
			if other.port.Load() == f.brain.peer && !other.stranger {
				f.peer = other
				break
			}
		}
	}
	f.peer.out.enlarge()
}

// isPeer reports whether the packets go to c. Once they do, they do until c
// leaves.
func (f *family) isPeer(c *conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peer == c
}

// offer decides what becomes of a packet.
func (f *family) offer(from *feed, o *offer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := o.packet
	var ok bool
	o.id, o.copied, ok = f.brain.offer(packetID{from, p.ID}, devices{p.In, p.Out, p.PhysIn, p.PhysOut}, len(p.Payload))
	if ok {
		o.to = f.peer
	}
}

// refuse takes an offer back that the peer's socket did not take.
func (f *family) refuse(o *offer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.brain.refuse(o.id)
	o.to = nil
}

// vanished answers a verdict whose packet the kernel no longer had.
func (f *family) vanished(k packetID) (found bool) {
	f.mu.Lock()
	c, request, found := f.journal.take(k)
	f.mu.Unlock()
	if found {
		c.send(c.respond(unix.ENOENT, request))
	}
	return found
}

// linkDown forgets the packets of an interface. The kernel has dropped them, or
// is told to drop those that came when the interface was up again.
func (f *family) linkDown(index uint32) {
	var dropped []packetID
	f.mu.Lock()
	f.brain.linkDown(index, func(k packetID) { dropped = append(dropped, k) })
	f.mu.Unlock()
	drop(dropped)
}

func (f *family) add(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[c] = true
}

// leave ends a program's socket. If it was the peer's, the slot is free again
// and what waits for a verdict is dropped.
func (f *family) leave(c *conn) {
	var dropped []packetID
	f.mu.Lock()
	delete(f.conns, c)
	if f.peer == c {
		f.peer = nil
		f.brain.release(func(k packetID) { dropped = append(dropped, k) })
	}
	f.mu.Unlock()
	drop(dropped)
}

func drop(packets []packetID) {
	for i, k := range packets {
		k.settle(wire.IPQVerdictDrop, nil, i < len(packets)-1 && k.feed == packets[i+1].feed)
	}
}

// settleDepartures lets those leave whose sockets have been closed.
func (f *family) settleDepartures() {
	f.mu.Lock()
	conns := slices.Collect(maps.Keys(f.conns))
	f.mu.Unlock()
	conns = slices.DeleteFunc(conns, func(c *conn) bool { return !c.closed() })
	await(func() bool {
		return !slices.ContainsFunc(conns, func(c *conn) bool { return !c.progress.left.Load() })
	})
}

func (f *family) status() FamilyStatus {
	f.settleDepartures()
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.brain
	return FamilyStatus{
		Family: m.family, Queue: f.queue, Programs: len(f.conns),
		PeerPID: m.peer, CopyMode: m.mode, CopyRange: m.rng,
		Length: uint32(m.held.n), MaxLength: m.maxLen,
		QueueDropped: m.stats.queueDropped, NetlinkDropped: m.stats.netlinkDropped,
	}
}
