//go:build linux

package nlsock

import (
	"time"

	"golang.org/x/sys/unix"
)

// A patience gives the core to who else wants it, once, before a reader with nothing to read goes to sleep. Where the
// sender of the next packet is on the same core, the packet is there when the reader is back, and going to sleep and
// being woken up are saved. Where nobody wants the core, it costs two system calls; where somebody wants it for long,
// waiting for one's turn is worse than being woken. Then it is tried more and more seldom.
type patience struct {
	skip    int // times not to try
	penalty int
}

const (
	longYield   = 50 * time.Microsecond
	longPenalty = 64      // the least after a long one
	maxPenalty  = 1 << 16 // of long ones
	maxInVain   = 1 << 10 // of others
)

// yield reports whether it has tried. If so, told must be told what came of it.
func (p *patience) yield() bool {
	if p.skip > 0 {
		p.skip--
		return false
	}
	start := time.Now()
	unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	if time.Since(start) >= longYield {
		p.penalty = min(max(2*p.penalty, longPenalty), maxPenalty)
		p.skip = p.penalty
	}
	return true
}

// told learns whether there was something to read after a yield.
func (p *patience) told(found bool) {
	switch {
	case p.skip > 0: // it was a long one
	case found:
		p.penalty /= 2
	default:
		p.penalty = max(p.penalty, min(max(2*p.penalty, 1), maxInVain))
		p.skip = p.penalty
	}
}
