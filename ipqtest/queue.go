package ipqtest

import (
	"bytes"
	"slices"

	"ipq"
	"ipq/internal/wire"
)

// queue is a bound queue (struct nfqnl_instance). Kernel.mu guards it.
type queue struct {
	number    uint16
	owner     *socket
	copyMode  uint8
	copyRange int
	maxLen    uint32
	flags     ipq.Flags

	waiting []*Entry // by id
	lastID  uint32
	overrun bool // the owner has been told of a loss since the last packet that reached it

	queueDropped, userDropped uint32
}

const defaultMaxLen = 1024 // NFQNL_QMAX_DEFAULT

// create binds a queue. Until a mode is set, it is NONE.
func (k *Kernel) create(number uint16, owner *socket) *queue {
	q := &queue{number: number, owner: owner, copyRange: wire.MaxPayload, maxLen: defaultMaxLen, lastID: k.config.LastID}
	k.queues[number] = q
	return q
}

// destroy unbinds a queue, which drops what waits in it.
func (k *Kernel) destroy(number uint16) {
	if q := k.queues[number]; q != nil {
		delete(k.queues, number)
		q.flush()
	}
}

func (q *queue) flush() {
	for _, e := range q.waiting {
		e.decide(Flushed, ipq.Drop)
	}
	q.waiting = nil
}

// enqueue gives a packet to the queue's owner, or decides about it (nfqnl_enqueue_packet). q is nil for a queue that
// nobody has bound.
func (k *Kernel) enqueue(q *queue, e *Entry) {
	open := ipq.Drop
	if q != nil && q.flags&ipq.FlagFailOpen != 0 {
		open = ipq.Accept
	}
	switch {
	case q == nil:
		e.decide(NoListener, ipq.Drop)
		return
	case q.copyMode == wire.CopyNone:
		e.decide(CopyNone, ipq.Drop)
		return
	case uint64(len(q.waiting)) >= uint64(q.maxLen):
		if open == ipq.Drop {
			q.queueDropped++
		}
		e.decide(QueueFull, open)
		return
	}
	q.lastID++
	e.ID = q.lastID
	if e.packet.Overrun {
		if open == ipq.Drop {
			q.userDropped++
		}
		if !q.overrun {
			q.owner.send(wire.AppendOverrun(nil))
		}
		q.overrun = true
		e.decide(BufferFull, open)
		return
	}
	q.overrun = false
	q.waiting = append(q.waiting, e)
	q.owner.send(e.packet.message(q.number, e.ID, q))
}

// decide ends the packet's wait.
func (e *Entry) decide(f Fate, v ipq.Verdict) {
	if e.result.Payload == nil {
		e.result.Payload = e.packet.Payload
	}
	e.result.Fate, e.result.Verdict, e.result.Mark = f, v, e.packet.Mark
	if e.packet.Conntrack != nil {
		e.result.ConnMark, e.result.ConnLabels = e.packet.Conntrack.Mark, e.packet.Conntrack.Labels
	}
	close(e.decided)
}

// find returns the place of a waiting packet.
func (q *queue) find(id uint32) (place int, ok bool) {
	place = slices.IndexFunc(q.waiting, func(e *Entry) bool { return e.ID == id })
	return place, place >= 0
}

// through counts the waiting packets whose id is not after the last, as the kernel compares ids: by their difference.
func (q *queue) through(last uint32) int {
	n := 0
	for n < len(q.waiting) && int32(q.waiting[n].ID-last) <= 0 {
		n++
	}
	return n
}

// answer carries a verdict out.
func (e *Entry) answer(v *wire.Verdict, conntrack bool) {
	if v.SetPayload {
		e.result.Payload = bytes.Clone(v.Payload)
	}
	if v.SetMark {
		e.packet.Mark = v.Mark
	}
	if ct := e.packet.Conntrack; ct != nil && conntrack {
		changed := *ct // the test's own stays as it is
		changed.Mark = ct.Mark&^v.ConnMarkMask ^ v.ConnMark
		if ct.HasLabels {
			for i, m := range v.ConnLabelsMask {
				changed.Labels[i] = ct.Labels[i]&^m ^ v.ConnLabels[i]
			}
		}
		e.packet.Conntrack = &changed
	}
	e.decide(Answered, verdict(v.Verdict))
}

// verdict is the library's name for the kernel's number.
func verdict(v uint32) ipq.Verdict {
	switch v & verdictMask {
	case wire.NFAccept:
		return ipq.Accept
	case wire.NFRepeat:
		return ipq.Repeat
	case wire.NFStop:
		return ipq.Stop
	case wire.NFQueue:
		if v&wire.NFQueueBypass != 0 {
			return ipq.RequeueBypass(uint16(v >> 16))
		}
		return ipq.Requeue(uint16(v >> 16))
	}
	return ipq.Drop // with an errno for the sender in the upper half, which nobody sees here
}
