package ipq

import (
	"iter"
	"slices"

	"ipq/internal/nlsock"
)

// A Batch is the packets of one Recv and the buffers they live in. The zero Batch is ready; the first Recv makes its
// buffers, under 2 MiB, and later ones reuse them. A Batch belongs to the goroutine that receives into it, and to the
// queue that it receives from.
type Batch struct {
	queue   *Queue // of the first Recv
	ring    *nlsock.Ring
	packets []Packet
	entries []entry // what answers need to know of the packets; the packets are the program's
	n       int
}

type entry struct {
	seq   uint64
	facts facts
}

// Len is the number of packets that the last Recv put in.
func (b *Batch) Len() int { return b.n }

// Packet returns packet i. It panics if i is not below Len.
func (b *Batch) Packet(i int) *Packet { return &b.packets[:b.n][i] }

// All iterates over the packets, in the order of their ids.
func (b *Batch) All() iter.Seq[*Packet] {
	return func(yield func(*Packet) bool) {
		for i := range b.n {
			if !yield(&b.packets[i]) {
				return
			}
		}
	}
}

const (
	batchBytes = 2 << 20 // larger sets of buffers were up to 40 % slower: they fall out of the cache
	batchMax   = 64      // also the bits of outbox.early
	batchMin   = 8
)

// index is where the packet is in the batch, or -1.
func (b *Batch) index(seq uint64) int {
	if len(b.entries) > 0 {
		if i := seq - b.entries[0].seq; i < uint64(len(b.entries)) && b.entries[i].seq == seq {
			return int(i) // no id was skipped before it
		}
	}
	return slices.IndexFunc(b.entries, func(e entry) bool { return e.seq == seq })
}

// full reports whether every buffer was filled, so that more was probably waiting.
func (b *Batch) full() bool { return b.n > 0 && b.n == b.ring.Len() }

// prepare empties b and makes its buffers if they are missing or too small.
func (b *Batch) prepare(slotSize int) {
	b.n, b.entries = 0, b.entries[:0]
	if b.ring != nil && b.ring.Size() >= slotSize {
		return
	}
	n := min(max(batchBytes/slotSize, batchMin), batchMax)
	b.ring = nlsock.NewRing(n, slotSize)
	b.packets, b.entries = make([]Packet, n), make([]entry, 0, n)
}
