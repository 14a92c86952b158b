package ipq

import (
	"math"
	"slices"
	"time"

	"ipq/internal/wire"
)

// letters is a set of answers. Payloads that the program handed over are copied into the arena; ones edited in their
// receive buffer stay there.
type letters struct {
	answers []answer
	extras  []extra
	conns   []connChange
	arena   []byte
	sorted  bool     // in the order of ids
	lowest  []uint64 // if not sorted: of the answers after each, the lowest id
	packets int      // that the answers are for

	arrivals []arrival // when those were received
}

// arrived notes when a packet that is answered was received.
func (l *letters) arrived(at time.Duration) {
	if n := len(l.arrivals); n > 0 && l.arrivals[n-1].at == at {
		l.arrivals[n-1].packets++
		return
	}
	l.arrivals = append(l.arrivals, arrival{at, 1})
}

// An answer is for n packets with consecutive ids.
type answer struct {
	seq     uint64 // of the first
	n       uint32
	verdict uint32 // the kernel's value
	mark    uint32
	setMark bool
	extra   int32 // index into extras, -1 for none
}

// An extra is what few answers have.
type extra struct {
	payload []byte // nil if the packet's own stays
	conn    int32  // index into conns, -1 for none
}

// connChange is what changes of a connection.
type connChange struct {
	mark, markMask     uint32
	labels, labelsMask ConnLabels
}

// same reports whether a and b can be said by one message.
func (a *answer) same(b *answer) bool {
	return a.verdict == b.verdict && a.setMark == b.setMark && a.mark == b.mark && a.extra < 0 && b.extra < 0
}

func (a *answer) last() uint64 { return a.seq + uint64(a.n) - 1 }

func (a *answer) drops() bool  { return a.verdict == wire.NFDrop && a.extra < 0 }
func (a *answer) passes() bool { return !a.drops() }

// index makes after ready.
func (l *letters) index() {
	if l.sorted {
		return
	}
	n := len(l.answers)
	l.lowest = slices.Grow(l.lowest[:0], n)[:n]
	low := uint64(math.MaxUint64)
	for i := n - 1; i >= 0; i-- {
		l.lowest[i] = low
		low = min(low, l.answers[i].seq)
	}
}

// after is the lowest id that is answered after answer i.
func (l *letters) after(i int) uint64 {
	switch {
	case !l.sorted:
		return l.lowest[i]
	case i+1 < len(l.answers):
		return l.answers[i+1].seq
	}
	return math.MaxUint64
}
