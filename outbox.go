package ipq

import (
	"slices"
	"sync"
	"sync/atomic"

	"ipq/internal/wire"
)

// An outbox collects answers until they are sent. Any goroutine may add one; nothing waits here for the kernel, because
// the lock is never held across a system call. Sending is flush.go.
type outbox struct {
	mu     sync.Mutex
	ledger *ledger

	filling *letters // what the next send takes
	spare   *letters // what the last send has emptied

	cursor uint64   // every packet up to here is answered, or in held
	held   []uint64 // packets up to cursor that may still be unanswered, by id; the front is pruned by floor
	nHeld  int      // how many of them are unanswered

	waiting atomic.Int32  // len(filling.answers), to be looked at without the lock
	inHand  atomic.Int32  // packets of the last Recv that are not answered; below 0 under Serve, which keeps count itself
	handed  atomic.Uint64 // the last packet of the last Recv
	counts  counts
}

// letters is a set of answers. Payloads that the program handed over are copied into the arena; ones edited in their
// receive buffer stay there.
type letters struct {
	answers []answer
	extras  []extra
	arena   []byte
	sorted  bool
}

type answer struct {
	seq     uint64
	verdict uint32 // the kernel's value
	mark    uint32
	setMark bool
	extra   int32 // index into extras, -1 for none
}

type extra struct {
	payload                []byte
	setPayload             bool
	connMark, connMarkMask uint32
}

// plain reports whether a and b can be answered by one message.
func (a *answer) equal(b *answer) bool {
	return a.verdict == b.verdict && a.setMark == b.setMark && a.mark == b.mark && a.extra < 0 && b.extra < 0
}

type counts struct {
	accepted, dropped, repeated, stopped, requeued, modified, defaulted uint64
}

func (c *counts) add(verdict uint32, modified bool) {
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
	if modified {
		c.modified++
	}
}

func newOutbox(l *ledger) *outbox {
	return &outbox{ledger: l, filling: &letters{sorted: true}, spare: &letters{sorted: true}}
}

// add takes the packet out of the ledger and puts its answer in. s is its slot. mu must be held.
func (o *outbox) add(s *slot, v Verdict, c *Changes) {
	seq, info := s.seq.Load(), s.info.Load()
	o.ledger.leave(s)
	if seq <= o.cursor {
		o.nHeld--
	}
	a := answer{seq: seq, verdict: v.kernel(), extra: -1}
	if c != nil {
		o.addChanges(&a, c, info)
	}
	o.put(a)
	o.counts.add(a.verdict, c != nil && c.Payload != nil)
}

// put appends an answer. mu must be held.
func (o *outbox) put(a answer) {
	l := o.filling
	if n := len(l.answers); n > 0 && l.answers[n-1].seq > a.seq {
		l.sorted = false
	}
	l.answers = append(l.answers, a)
	o.waiting.Store(int32(len(l.answers)))
}

func (o *outbox) addChanges(a *answer, c *Changes, info uint64) {
	if c.MarkMask != 0 {
		// The kernel replaces the whole mark: the bits outside the mask are the packet's own.
		a.setMark, a.mark = true, uint32(info>>32)&^c.MarkMask|c.Mark&c.MarkMask
	}
	if c.Payload == nil && c.ConnMarkMask == 0 {
		return
	}
	l := o.filling
	x := extra{payload: c.Payload, setPayload: c.Payload != nil, connMark: c.ConnMark, connMarkMask: c.ConnMarkMask}
	if x.setPayload && !c.inPlace {
		n := len(l.arena)
		l.arena = append(l.arena, c.Payload...)
		x.payload = l.arena[n:len(l.arena):len(l.arena)]
		if !c.Raw {
			trueChecksums(x.payload) // here, on our copy: the program's bytes are not ours to change
		}
	}
	a.extra = int32(len(l.extras))
	l.extras = append(l.extras, x)
}

// hold records that the program keeps a packet that it was handed in its turn. mu must be held.
func (o *outbox) hold(seq uint64) {
	if len(o.held) == cap(o.held) {
		o.held = slices.DeleteFunc(o.held, func(s uint64) bool { return o.ledger.find(s) == nil })
	}
	o.held = append(o.held, seq)
	o.nHeld++
}

// floor returns a sequence number below which every packet has been answered. A range verdict answers all ids up to its
// own, so it may only be used below. mu must be held.
func (o *outbox) floor() uint64 {
	i := 0
	for i < len(o.held) && o.ledger.find(o.held[i]) == nil {
		i++
	}
	if i == len(o.held) {
		o.held = o.held[:0]
		return o.cursor + 1
	}
	o.held = o.held[i:]
	return o.held[0]
}

// take swaps the collected answers out. mu must not be held; the caller must hold the sending lock until the letters are
// sent and emptied, because a range verdict must not overtake an answer that was given before.
func (o *outbox) take() (l *letters, floor uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.filling.answers) == 0 {
		return nil, 0
	}
	l = o.filling
	o.filling, o.spare = o.spare, nil
	o.waiting.Store(0)
	return l, o.floor()
}

// give returns emptied letters for reuse.
func (o *outbox) give(l *letters) {
	const keep = 1 << 20 // of copied payloads; more than that was a burst
	l.answers, l.sorted = l.answers[:0], true
	clear(l.extras)
	l.extras = l.extras[:0]
	if l.arena = l.arena[:0]; cap(l.arena) > keep {
		l.arena = nil
	}
	o.mu.Lock()
	o.spare = l
	o.mu.Unlock()
}
