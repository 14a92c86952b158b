package ipq

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Latency counts packets by how long they were in the program's hands: from the return of the system call that received
// them to that of the one that sent their verdict. Element i counts those that took less than 2^i microseconds and that no
// earlier element counts; the last counts all that took longer.
//
// The time that a packet waited in the kernel before it was received is not in it: while a handler is slow, the packets
// behind it wait there.
type Latency [latencyClasses]uint64

const latencyClasses = 28 // the last begins at a minute

// Quantile is a time within which the share q of the packets had their verdict, rounded up to the next bound of the
// classes: Quantile(0.99) is the 99th percentile. It is 0 before the first packet.
func (l Latency) Quantile(q float64) time.Duration {
	var all, sum uint64
	for _, n := range l {
		all += n
	}
	for i, n := range l {
		if sum += n; sum > 0 && float64(sum) >= q*float64(all) {
			return time.Microsecond << i
		}
	}
	return 0
}

// latencies is a Latency that is being counted.
type latencies [latencyClasses]atomic.Uint64

func (l *latencies) add(took time.Duration, packets int) {
	i := bits.Len64(uint64(took / time.Microsecond))
	l[min(i, latencyClasses-1)].Add(uint64(packets))
}

func (l *latencies) read() (now Latency) {
	for i := range l {
		now[i] = l[i].Load()
	}
	return now
}

// An arrival is packets that were received together and are answered together.
type arrival struct {
	at      time.Duration // since epoch
	packets int
}
