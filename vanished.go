package ipq

import (
	"time"

	"ipq/internal/nlsock"
)

// The kernel reports each verdict whose packet it has no more. One or two are a device's fault, or a race; a number of
// them within a short time is a queue that was flushed.
const (
	flushOf     = 8
	flushWithin = time.Second
)

// vanished is what the receive loop remembers of packets that were gone.
type vanished struct {
	since   time.Duration // of the first, since epoch
	packets int
}

// forget gives up the packets that the program holds, when the queue was bound anew: the kernel has dropped them, and
// their ids are those of other packets now.
func (q *Queue) forget() {
	o := q.outbox
	o.mu.Lock()
	gone := o.held.all()
	o.held = held{}
	o.counts.dropped += uint64(len(gone))
	o.mu.Unlock()
	for _, seq := range gone {
		q.refused(ID{q.generation, seq}, nlsock.ENOENT, 1)
	}
}

// note counts packets that are gone, and reports whether it must be a flush; once for each.
func (v *vanished) note(packets int) bool {
	if now := sinceEpoch(); v.packets == 0 || now-v.since > flushWithin {
		v.since, v.packets = now, 0
	}
	before := v.packets
	v.packets += packets
	return before < flushOf && v.packets >= flushOf
}
