package ipqueue

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ipq"
	"ipq/internal/wire"
)

// feed is a kernel queue that packets come from.
type feed struct {
	handler *Handler
	queue   *ipq.Queue
	batch   ipq.Batch
	offers  []offer
	message wire.IPQPacket // of the packet that is being sent
	passes  atomic.Uint64  // odd from the first offer of a batch until all is sent; run waits for no program then
	fences  fences

	caughtUp uint32 // id of a packet: what programs had sent before it, and all before it, were queued has been served
	unasked  int    // batches for which the kernel is not asked how many packets wait
}

// fences are points in the stream of packets that somebody waits for.
type fences struct {
	asked atomic.Uint64 // how many there are; changed under mu

	mu      sync.Mutex
	passed  uint64 // the stream is beyond so many
	ended   bool   // the stream is
	changed sync.Cond
}

// offer is a packet of the batch that is being worked on.
type offer struct {
	packet *ipq.Packet
	family *family
	to     *conn // nil when it is to be dropped
	id     uint32
	copied int
}

// openFeed takes a queue. held is how many packets the handler will hold at most.
func openFeed(h *Handler, number uint16, held uint32) (*feed, error) {
	f := &feed{handler: h}
	f.fences.changed.L = &f.fences.mu
	q, err := ipq.Open(ipq.Config{
		Queue: number,
		// The families count for themselves, and drop what is too much. The kernel's
		// limit leaves room for what has not reached them.
		MaxLen:         held + max(DefaultMaxLen, held/2),
		MaxHeld:        int(min(held, 1<<23)) + 256,
		OnVerdictError: func(id ipq.ID, err error) { h.refused(packetID{f, id}, err) },
	})
	if err != nil {
		return nil, fmt.Errorf("ipqueue: %w", err)
	}
	f.queue = q
	return f, nil
}

// run passes packets on until the queue is closed; it returns why.
func (f *feed) run() error {
	defer f.endFences()
	for {
		asked := f.fences.asked.Load()
		err := f.queue.Recv(&f.batch)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			f.passFences(asked)
			continue
		case err != nil:
			return err
		}
		f.pass()
	}
}

// fence returns when the kernel has every verdict that was given before, and the
// peers have every packet that it queued because of them.
func (f *feed) fence() {
	// This changes nothing. It is behind the verdicts, and what they queued is before
	// its acknowledgement: received, but perhaps not by run.
	if f.queue.SetMode(ipq.ModePacket, 0) != nil {
		return
	}
	// A deadline that is over ends run's wait for packets behind those that it has,
	// and those that were received for it.
	s := &f.fences
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.asked.Add(1)
	_ = f.queue.SetReadDeadline(time.Unix(1, 0)) // fails when the queue is closed
	for s.passed < mine && !s.ended {
		s.changed.Wait()
	}
}

// passFences lets those go on who had asked when run began to wait for packets,
// and found none.
func (f *feed) passFences(asked uint64) {
	s := &f.fences
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed = asked
	if s.asked.Load() == asked {
		_ = f.queue.SetReadDeadline(time.Time{})
	}
	s.changed.Broadcast()
}

func (f *feed) endFences() {
	s := &f.fences
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.changed.Broadcast()
}

// settle returns when the packets of which it has been decided what their peer
// sees of them have been sent.
func (f *feed) settle() {
	if n := f.passes.Load(); n%2 != 0 {
		await(func() bool { return f.passes.Load() != n })
	}
}

// How many packets in a batch tell that more are queued behind it, how many of these make it worth having asked the kernel,
// which reads a file, and for how many batches it is not asked again when there were fewer.
const (
	burst      = 24
	worthwhile = 256
	askAfter   = 16
)

// catchUp returns when everything has been served that programs had sent before the packets of the batch were queued. Of
// the packets that wait behind the batch this is then true as well, so of a burst the programs are waited for once.
func (f *feed) catchUp() {
	last := f.batch.Packet(f.batch.Len() - 1).ID.Uint32()
	if int32(last-f.caughtUp) <= 0 {
		return
	}
	f.caughtUp = last
	switch {
	case f.batch.Len() < burst:
	case f.unasked > 0:
		f.unasked--
	default:
		if k := f.queue.Stats().Kernel; k != nil && int32(k.LastID-last) > 0 {
			f.caughtUp = k.LastID
		}
		if f.caughtUp-last < worthwhile {
			f.unasked = askAfter
		}
	}
	f.handler.ipv4.catchUp()
	f.handler.ipv6.catchUp()
}

// pass offers a batch to the families, sends it to their peers, and drops what
// nobody took.
func (f *feed) pass() {
	f.offers = f.offers[:0]
	for p := range f.batch.All() {
		f.offers = append(f.offers, offer{packet: p, family: f.handler.family(p.Family)})
	}
	f.catchUp()
	f.passes.Add(1)
	defer f.passes.Add(1)
	for i := range f.offers {
		if o := &f.offers[i]; o.family != nil {
			o.family.offer(f, o)
		}
	}
	now := time.Now()
	for rest := f.offers; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].to == rest[0].to {
			n++
		}
		if rest[0].to != nil {
			f.send(rest[:n], now)
		}
		rest = rest[n:]
	}
	for i := range f.offers {
		if f.offers[i].to == nil {
			_ = f.queue.SetVerdict(f.offers[i].packet.ID, ipq.Drop) // fails when the queue is closed, or the peer has answered
		}
	}
}

// send gives packets to their peer. Those that its socket does not take are
// marked to be dropped.
func (f *feed) send(offers []offer, now time.Time) {
	c := offers[0].to
	for len(offers) > 0 {
		n := min(len(offers), outboxSlots)
		c.out.mu.Lock()
		for i := range offers[:n] {
			f.describe(&offers[i], now)
			head := c.layout.PutPacket(c.out.head(), &f.message)
			c.out.add(head, offers[i].packet.Payload[:offers[i].copied])
		}
		lost := c.out.flush()
		c.out.mu.Unlock()
		for ; lost != 0; lost &= lost - 1 {
			o := &offers[bits.TrailingZeros64(lost)]
			o.family.refuse(o)
		}
		offers = offers[n:]
	}
}

// describe fills in f.message as ip_queue did.
func (f *feed) describe(o *offer, now time.Time) {
	p, devices := o.packet, f.handler.devices
	at, stamped := p.Time()
	if !stamped {
		at = now // ip_queue said 0, which some programs take for an error
	}
	in := p.In
	if p.Hook == ipq.Postrouting {
		in = 0 // Linux 3.4 did not tell the hook; today's kernels do
	}
	indev := devices.device(in)
	f.message = wire.IPQPacket{
		ID: uint64(o.id), Mark: uint64(p.Mark), Sec: at.Unix(), Usec: int64(at.Nanosecond() / 1000), Hook: uint32(p.Hook),
		In: indev.name, Out: devices.device(p.Out).name, HWProtocol: p.Protocol, DataLen: uint64(o.copied),
	}
	if in != 0 && p.HWAddr != nil {
		f.message.HWType = indev.hwType
		f.message.HWAddrLen = uint8(copy(f.message.HWAddr[:], p.HWAddr))
	}
}
