package ipqueue

import (
	"sync"

	"ipq/internal/wire"
)

type packetID = uint64

// family is the handler of one address family: its brain, and who it talks to.
type family struct {
	handler *Handler
	queue   uint16

	mu    sync.Mutex
	brain *machine[packetID]
	peer  *conn          // whose socket gets the packets; nil when the slot is free
	conns map[*conn]bool // true: all of them
}

// request decides about one datagram. f.mu is held.
func (f *family) request(c *conn, b []byte, allowed bool) decision[packetID] {
	d := f.brain.request(c.layout, b, allowed)
	if d.claimed {
		f.claim(c)
	}
	return d
}

// claim finds the socket that the new peer's packets go to: the one that is
// bound to the port the message named. That is the sender's own, unless it
// named another that exists. A sender that is bound to no such port gets it: a
// program in a pid namespace knows itself by another number than the one it was
// announced by.
func (f *family) claim(c *conn) {
	f.peer = c
	if c.port == f.brain.peer {
		return
	}
	for other := range f.conns {
		if other.port == f.brain.peer {
			f.peer = other
			return
		}
	}
	c.port = f.brain.peer
}

func (f *family) add(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[c] = true
}

// leave ends a program's socket. If it was the peer's, the slot is free again
// and what waits for a verdict is dropped.
func (f *family) leave(c *conn) {
	f.mu.Lock()
	delete(f.conns, c)
	var dropped []packetID
	if f.peer == c {
		f.peer = nil
		f.brain.release(func(k packetID) { dropped = append(dropped, k) })
	}
	f.mu.Unlock()
	c.file.Close()
	for _, k := range dropped {
		f.settle(k, wire.IPQVerdictDrop, nil)
	}
}

func (f *family) settle(k packetID, verdict uint32, payload []byte) {
}

func (f *family) status() FamilyStatus {
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
