package ipq

import "time"

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

// note counts packets that are gone, and reports whether it must be a flush; once for each.
func (v *vanished) note(packets int) bool {
	if now := sinceEpoch(); v.packets == 0 || now-v.since > flushWithin {
		v.since, v.packets = now, 0
	}
	before := v.packets
	v.packets += packets
	return before < flushOf && v.packets >= flushOf
}
