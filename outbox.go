package ipq

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"ipq/internal/wire"
)

// An outbox knows which packets are unanswered and collects answers until they are sent (flush.go). Any goroutine may
// add one; nobody waits here for the kernel, because the lock is never held across a system call.
//
// A packet that was received is in its turn until the program is done with it: its handler has returned, or the next
// Recv was called. Turns pass in the order of ids, so cursor says which are over. What is then unanswered is held.
type outbox struct {
	mu sync.Mutex

	cursor uint64                // turns up to here are over
	batch  atomic.Pointer[Batch] // whose turns are not over; stored by the receive loop, removed under mu
	early  uint64                // one bit for each of batch's packets: answered before its turn was over
	held   held

	filling *letters // what the next send takes
	spare   *letters // what the last send has emptied
	inPlace bool     // filling, or what is being sent, refers to a receive buffer

	waiting atomic.Int32 // packets whose answers may be sent by whoever comes first; see publish
	counts  counts
	sent    uint64 // packets whose answers have been sent
}

type counts struct {
	accepted, dropped, repeated, stopped, requeued, modified, defaulted uint64
}

func (c *counts) add(verdict uint32) {
	switch verdict & 0xff {
	case wire.NFAccept:
		c.accepted++
	case wire.NFDrop:
		c.dropped++
	case wire.NFRepeat:
		c.repeated++
	case wire.NFStop:
		c.stopped++
	default:
		c.requeued++
	}
}

func (c *counts) answers() uint64 {
	return c.accepted + c.dropped + c.repeated + c.stopped + c.requeued
}

func newOutbox() *outbox {
	return &outbox{filling: &letters{sorted: true}, spare: &letters{sorted: true}}
}

// claim finds a packet that is unanswered, and makes it answered. judge, if not nil, may refuse. inTurn says that its
// turn is not over. mu must be held.
func (o *outbox) claim(seq uint64, judge func(facts) error) (f facts, inTurn bool, err error) {
	if seq <= o.cursor {
		p := o.held.find(seq)
		if p == nil {
			return f, false, ErrAnswered
		}
		if judge != nil {
			err = judge(p.facts)
		}
		if err == nil {
			o.held.remove(p)
		}
		return p.facts, false, err
	}
	b := o.batch.Load()
	if b == nil {
		return f, false, ErrAnswered
	}
	i := b.index(seq)
	if i < 0 || o.early&(1<<i) != 0 {
		return f, false, ErrAnswered
	}
	f = b.entries[i].facts
	if judge != nil {
		err = judge(f)
	}
	if err == nil {
		o.early |= 1 << i
	}
	return f, true, err
}

// over ends the turn of a packet, and reports whether it was answered before. Turns end in order. mu must be held.
func (o *outbox) over(seq uint64) (answered bool) {
	o.cursor = seq
	return o.early != 0 && o.early&(1<<o.batch.Load().index(seq)) != 0
}

// add puts an answer in. mu must be held, and the packet claimed or its turn over.
func (o *outbox) add(seq uint64, f facts, v Verdict, c *Changes) {
	verdict, setMark, mark, extra := v.kernel(), false, uint32(0), int32(-1)
	if c != nil {
		if c.MarkMask != 0 {
			// The kernel replaces the whole mark: the bits outside the mask are the packet's own.
			setMark, mark = true, f.mark&^c.MarkMask|c.Mark&c.MarkMask
		}
		if c.Payload != nil || c.connection() {
			extra = o.addExtra(c, f)
		}
	}
	o.counts.add(verdict)
	l := o.filling
	l.packets++
	l.arrived(f.at)
	n := len(l.answers)
	if n > 0 {
		last := &l.answers[n-1]
		if last.seq+uint64(last.n) == seq && last.verdict == verdict && last.setMark == setMark && last.mark == mark &&
			last.extra < 0 && extra < 0 {
			last.n++
			return
		}
		if last.seq > seq {
			l.sorted = false
		}
	}
	// Written in place: an answer that is made elsewhere is copied as a whole, and waits for its parts (Packet.fill).
	l.answers = append(l.answers, answer{})
	a := &l.answers[n]
	a.seq, a.n, a.verdict, a.setMark, a.mark, a.extra = seq, 1, verdict, setMark, mark, extra
}

// addExtra takes what changes besides the packet mark, and returns its index.
func (o *outbox) addExtra(c *Changes, f facts) int32 {
	l := o.filling
	x := extra{payload: c.Payload, conn: -1}
	if c.connection() {
		x.conn = int32(len(l.conns))
		l.conns = append(l.conns, connChange{c.ConnMark, c.ConnMarkMask, c.ConnLabels, c.ConnLabelsMask})
	}
	switch {
	case x.payload == nil:
	case c.inPlace:
		o.inPlace = true
		o.counts.modified++
	default:
		n := len(l.arena)
		l.arena = append(l.arena, c.Payload...)
		x.payload = l.arena[n:len(l.arena):len(l.arena)]
		if !c.Raw {
			trueChecksums(x.payload, f) // here, on our copy: the program's bytes are not ours to change
		}
		o.counts.modified++
	}
	l.extras = append(l.extras, x)
	return int32(len(l.extras) - 1)
}

// floor returns a sequence number below which every packet is answered. A range verdict answers all ids up to its own,
// so it may only be used below. mu must be held.
func (o *outbox) floor() uint64 {
	if seq, ok := o.held.first(); ok {
		return seq
	}
	return o.cursor + 1
}

// take swaps the collected answers out. The caller holds the sending lock until they are sent and given back: a range
// verdict must not overtake an answer that was given before it.
func (o *outbox) take() (l *letters, floor uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting.Store(0)
	if len(o.filling.answers) == 0 {
		return nil, 0
	}
	l = o.filling
	o.filling, o.spare = o.spare, nil
	return l, o.floor()
}

// give returns sent letters for reuse.
func (o *outbox) give(l *letters) {
	const keep = 1 << 20 // of copied payloads; more than that was a burst
	sent := uint64(l.packets)
	l.answers, l.arrivals, l.packets, l.sorted = l.answers[:0], l.arrivals[:0], 0, true
	clear(l.extras)
	l.extras, l.conns = l.extras[:0], l.conns[:0]
	if l.arena = l.arena[:0]; cap(l.arena) > keep {
		l.arena = nil
	}
	o.mu.Lock()
	o.spare = l
	o.sent += sent
	o.mu.Unlock()
}

// unsent is how many packets are answered by answers that have not been sent.
func (o *outbox) unsent() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return int(o.counts.answers() - o.sent)
}

// rest ends the turns of the batch that was handed out last. What was not answered is held from now on; what is over
// the bound is answered by v, and returned, with how many are held.
func (o *outbox) rest(maxHeld int, v Verdict) (refused []uint64, held int) {
	b := o.batch.Load()
	if b == nil {
		return nil, 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range b.entries {
		switch {
		case e.seq <= o.cursor || o.over(e.seq):
		case o.held.len() < maxHeld:
			o.held.add(e.seq, e.facts)
		default:
			o.add(e.seq, e.facts, v, nil)
			o.counts.defaulted++
			refused = append(refused, e.seq)
		}
	}
	o.batch.Store(nil)
	o.early = 0
	return refused, o.held.len()
}

// answeredAll ends the turns of the batch if every packet of it is answered, so that one range verdict will do. mu must
// be held.
func (o *outbox) answeredAll() bool {
	b := o.batch.Load()
	if b == nil || bits.OnesCount64(o.early) < len(b.entries) {
		return false
	}
	o.cursor = b.entries[len(b.entries)-1].seq
	o.batch.Store(nil)
	o.early = 0
	return true
}

// publish says that what was collected may be sent by whoever comes first. mu must be held.
func (o *outbox) publish() int {
	o.waiting.Store(int32(o.filling.packets))
	return o.filling.packets
}

// buffersFree notes that everything that referred to a receive buffer has been sent.
func (o *outbox) buffersFree() {
	o.mu.Lock()
	o.inPlace = false
	o.mu.Unlock()
}

// heldPackets lists what is held.
func (o *outbox) heldPackets() []uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held.all()
}
