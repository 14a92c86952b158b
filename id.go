package ipq

import (
	"fmt"
	"sync/atomic"
)

// ID names a packet in a queue. IDs are comparable, and no two packets that a program ever receives have the same: an
// answer given too late cannot reach another packet, not even after the kernel's 32-bit counter has wrapped, after the
// queue was closed and opened again, or in another queue. The zero ID names no packet.
type ID struct {
	generation uint32 // of the Queue, within this process
	seq        uint64 // the kernel's id, continued beyond 32 bits
}

// Uint32 is the kernel's id of the packet, which starts at 1 in each queue and wraps.
func (id ID) Uint32() uint32 { return uint32(id.seq) }

// String is the kernel's id in decimal.
func (id ID) String() string { return fmt.Sprint(id.Uint32()) }

var generations atomic.Uint32

// firstEpoch is the upper half of the first sequence numbers, so that none is 0 and none runs below it.
const firstEpoch = 1 << 32

// follow continues the kernel's 32-bit id of a packet that came after the last one, and says how many ids were skipped.
// An id that does not come after the last one belongs to a queue that was bound anew behind our back: it is continued too,
// because turns, and with them range verdicts, rely on the order.
func follow(last uint64, id uint32) (seq, skipped uint64, anew bool) {
	seq = extend(last, id)
	switch {
	case last == 0:
		return seq, 0, false
	case seq <= last:
		return seq + 1<<32, 0, true
	}
	return seq, seq - last - 1, false
}

// extend continues the kernel's 32-bit id beyond 32 bits, as the number nearest to the last one.
func extend(last uint64, id uint32) uint64 {
	if last == 0 {
		return firstEpoch | uint64(id)
	}
	return last + uint64(int64(int32(id-uint32(last))))
}
