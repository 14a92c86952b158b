package ipq

import (
	"cmp"
	"slices"
	"time"
)

// held is the packets that the program keeps: handed out, their turn over, and not answered. Ids come in order, so it is a
// sorted list; answered ones stay in it as gaps until it is tidied.
type held struct {
	list []heldPacket
	head int // everything before is a gap
	gaps int // from head on
}

type heldPacket struct {
	seq   uint64
	facts facts
	gap   bool
}

// facts are what an answer must know of its packet.
type facts struct {
	mark uint32        // the packet's own
	bits uint32        // what decides whether it can take a change
	at   time.Duration // when it was received, since epoch
}

const (
	isTruncated = 1 << iota
	isGSO
	isBridge
	isTracked       // its connection came with it
	hasLabelRoom    // its connection can be labelled
	isPendingInside // a checksum is left to the hardware, and it is not that of the packet itself
)

// len is the number of packets held.
func (h *held) len() int { return len(h.list) - h.head - h.gaps }

// add takes in a packet that is after all others.
func (h *held) add(seq uint64, f facts) {
	if len(h.list) == cap(h.list) && h.len() < len(h.list)/2 {
		live := h.list[:0]
		for _, p := range h.list[h.head:] {
			if !p.gap {
				live = append(live, p)
			}
		}
		h.list, h.head, h.gaps = live, 0, 0
	}
	h.list = append(h.list, heldPacket{seq: seq, facts: f})
}

// find returns the packet, or nil.
func (h *held) find(seq uint64) *heldPacket {
	list := h.list[h.head:]
	i, ok := slices.BinarySearchFunc(list, seq, func(p heldPacket, seq uint64) int { return cmp.Compare(p.seq, seq) })
	if !ok || list[i].gap {
		return nil
	}
	return &list[i]
}

// remove takes out a packet that find has returned.
func (h *held) remove(p *heldPacket) {
	p.gap = true
	h.gaps++
}

// first returns the lowest packet.
func (h *held) first() (seq uint64, ok bool) {
	for h.head < len(h.list) && h.list[h.head].gap {
		h.head++
		h.gaps--
	}
	if h.head == len(h.list) {
		h.list, h.head = h.list[:0], 0
		return 0, false
	}
	return h.list[h.head].seq, true
}

// all lists the packets held, in order.
func (h *held) all() []uint64 {
	var all []uint64
	for _, p := range h.list[h.head:] {
		if !p.gap {
			all = append(all, p.seq)
		}
	}
	return all
}
