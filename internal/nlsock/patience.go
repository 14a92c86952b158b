//go:build linux

package nlsock

import (
	"time"

	"golang.org/x/sys/unix"
)

// A patience gives the core to who else wants it, once, before a reader with nothing to read goes to sleep. Where the
// sender of the next packet is on the same core, the packet is there when the reader is back, and going to sleep and
// being woken up are saved. Where nobody wants the core, it costs a system call. Where somebody wants it for long, waiting
// for one's turn is worse than being woken: then it is not tried again for a while.
type patience struct {
	skip    int // times not to try
	penalty int
}

const (
	longYield  = 50 * time.Microsecond
	minPenalty = 64
	maxPenalty = 1 << 16
)

// yield reports whether it has tried.
func (p *patience) yield() bool {
	if p.skip > 0 {
		p.skip--
		return false
	}
	start := time.Now()
	unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	if time.Since(start) < longYield {
		p.penalty /= 2
		return true
	}
	p.penalty = min(max(2*p.penalty, minPenalty), maxPenalty)
	p.skip = p.penalty
	return true
}
