package ipq

import "sync/atomic"

// A ledger knows which packets have been handed to the program and not been answered. The receiving goroutine enters
// packets without a lock; answers take them out, one at a time (outbox.mu).
//
// It is an open hash table whose hash is the id itself: ids come in sequence, so packets collide only with ones held for
// at least as many packets as the table has slots.
type ledger struct {
	slots []slot
	reach atomic.Uint64 // how far from its home a packet has ever been put
	count atomic.Int64
}

type slot struct {
	seq  atomic.Uint64 // 0 when free
	info atomic.Uint64 // mark<<32 | what SetVerdict must know to judge a payload
}

const (
	infoTruncated = 1 << iota
	infoGSO
	infoBridge
)

// newLedger makes a ledger for n packets.
func newLedger(n int) *ledger {
	size := 64
	for size < 2*n {
		size *= 2
	}
	return &ledger{slots: make([]slot, size)}
}

// enter records a packet that is about to be handed out. It reports false when there is no room. Only the receiving
// goroutine calls it.
func (l *ledger) enter(seq, info uint64) bool {
	mask := uint64(len(l.slots) - 1)
	for d := uint64(0); d <= mask; d++ {
		s := &l.slots[(seq+d)&mask]
		if s.seq.Load() != 0 {
			continue
		}
		if d > l.reach.Load() {
			l.reach.Store(d)
		}
		s.info.Store(info)
		l.count.Add(1)
		s.seq.Store(seq)
		return true
	}
	return false
}

// find returns the slot of a packet that has not been answered, or nil.
func (l *ledger) find(seq uint64) *slot {
	mask := uint64(len(l.slots) - 1)
	for d := uint64(0); d <= l.reach.Load(); d++ {
		if s := &l.slots[(seq+d)&mask]; s.seq.Load() == seq {
			return s
		}
	}
	return nil
}

// leave takes a packet out.
func (l *ledger) leave(s *slot) {
	s.seq.Store(0)
	l.count.Add(-1)
}

// each calls fn for every packet that has not been answered.
func (l *ledger) each(fn func(seq uint64)) {
	for i := range l.slots {
		if seq := l.slots[i].seq.Load(); seq != 0 {
			fn(seq)
		}
	}
}
