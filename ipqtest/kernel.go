package ipqtest

import (
	"bytes"
	"os"
	"sync"
	"time"

	"ipq"
)

// TB is the part of testing.TB that this package needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Config says what kernel to play. The zero value is one that has every flag.
type Config struct {
	// Lacks are flags that this kernel does not have: it refuses them with EOPNOTSUPP.
	Lacks ipq.Flags

	// LastID is the id before the first packet's, in every queue. Set it near 1<<32 to see ids wrap.
	LastID uint32

	// Patience is how long [Entry.Result] waits before it fails the test; 0 means ten seconds.
	Patience time.Duration
}

// Kernel plays the kernel's side of any number of queues. Its methods may be called from any goroutine; those that can
// fail the test, New, File, Inject and Raw, only from one that may call FailNow.
type Kernel struct {
	t      TB
	config Config

	mu      sync.Mutex
	queues  map[uint16]*queue
	sockets []*socket
	closed  bool
	buf     []byte // for a datagram

	running sync.WaitGroup
}

// New starts a kernel, which ends with the test. At most one Config may be given. On other systems than Linux, which lack
// what a queue's socket needs, it skips the test.
func New(t TB, c ...Config) *Kernel {
	t.Helper()
	k := &Kernel{t: t, queues: make(map[uint16]*queue), buf: make([]byte, maxDatagram)}
	if len(c) > 1 {
		t.Fatalf("ipqtest: %d Configs given, at most one makes sense", len(c))
	}
	if len(c) == 1 {
		k.config = c[0]
	}
	if k.config.Patience == 0 {
		k.config.Patience = 10 * time.Second
	}
	if err := supported(); err != nil {
		t.Skipf("ipqtest: %v", err)
	}
	t.Cleanup(k.Close)
	return k
}

// File opens a new socket to the kernel, for ipq.Config.File. Who opens several and binds them to the same queue is
// refused, as in the kernel.
func (k *Kernel) File() *os.File {
	k.t.Helper()
	ours, program, err := socketpair()
	if err != nil {
		k.t.Fatalf("ipqtest: %v", err)
	}
	k.t.Cleanup(func() { program.Close() }) // closed by ipq.Open already, if it was given to it
	k.connect(ours)
	return program
}

// Close ends the kernel: packets that wait are dropped, and the program finds its sockets hung up. It is called when the
// test ends, and may be called before.
func (k *Kernel) Close() {
	k.mu.Lock()
	k.closed = true
	for _, s := range k.sockets {
		s.close()
	}
	for number := range k.queues {
		k.destroy(number)
	}
	k.mu.Unlock()
	k.running.Wait()
}

// Inject sends a packet to its queue, as a rule would, and returns at once.
func (k *Kernel) Inject(p Packet) *Entry {
	k.t.Helper()
	p.Payload = bytes.Clone(p.Payload)
	if p.Family == 0 {
		p.Family = ipq.IPv4
		if len(p.Payload) > 0 && p.Payload[0]>>4 == 6 {
			p.Family = ipq.IPv6
		}
	}
	if p.Protocol == 0 {
		p.Protocol = 0x0800
		if p.Family == ipq.IPv6 {
			p.Protocol = 0x86dd
		}
	}
	e := &Entry{k: k, packet: p, decided: make(chan struct{})}
	k.lock()
	defer k.mu.Unlock()
	q := k.queues[p.Queue]
	if p.GSO && q != nil && q.flags&ipq.FlagGSO == 0 {
		k.t.Fatalf("ipqtest: a GSO packet for queue %d, which was opened without FlagGSO: inject the segments", p.Queue)
	}
	k.enqueue(q, e)
	return e
}

// Flush drops every packet that waits in any queue, as the kernel does when somebody deletes a base chain.
func (k *Kernel) Flush() {
	k.lock()
	defer k.mu.Unlock()
	for _, q := range k.queues {
		q.flush()
	}
}

// Unbind takes a queue from its owner, as another user of the owner's socket could. What waits in it is dropped, and the
// next verdict for it is refused.
func (k *Kernel) Unbind(queue uint16) {
	k.lock()
	defer k.mu.Unlock()
	k.destroy(queue)
}

// Raw sends a datagram of any content to the owner of a queue, in turn with its packets.
func (k *Kernel) Raw(queue uint16, datagram []byte) {
	k.t.Helper()
	k.lock()
	defer k.mu.Unlock()
	q := k.queues[queue]
	if q == nil {
		k.t.Fatalf("ipqtest: nobody has bound queue %d", queue)
		return
	}
	q.owner.send(bytes.Clone(datagram))
}

// Stats is the kernel's account of a queue, all zero if nobody has bound it.
func (k *Kernel) Stats(queue uint16) ipq.KernelStats {
	k.lock()
	defer k.mu.Unlock()
	q := k.queues[queue]
	if q == nil {
		return ipq.KernelStats{}
	}
	return ipq.KernelStats{Waiting: uint32(len(q.waiting)), QueueDropped: q.queueDropped, UserDropped: q.userDropped, LastID: q.lastID}
}

// Entry is an injected packet.
type Entry struct {
	// ID is the kernel's id of the packet. A packet that was dropped before it got one has the id 0.
	ID uint32

	k       *Kernel
	packet  Packet
	decided chan struct{}
	result  Result
}

// Done is closed when the packet's fate is decided.
func (e *Entry) Done() <-chan struct{} { return e.decided }

// Result waits until the packet's fate is decided, and says what it is. It fails the test when that takes longer than
// Config.Patience, so it may only be called where FailNow may be.
func (e *Entry) Result() Result {
	e.k.t.Helper()
	patience := time.NewTimer(e.k.config.Patience)
	defer patience.Stop()
	select {
	case <-e.decided:
	case <-patience.C:
		e.k.t.Fatalf("ipqtest: packet %d of queue %d has had no verdict for %v", e.ID, e.packet.Queue, e.k.config.Patience)
	}
	return e.result
}
