package ipq

import (
	"errors"
	"io"
	"sync/atomic"

	"ipq/internal/wire"
)

// Stats counts since Open. The answers add up: every packet received is accepted, dropped, repeated, stopped, requeued,
// or still open.
type Stats struct {
	Received uint64 // packets handed to the program, or answered by Default in its place

	Accepted, Dropped, Repeated, Stopped, Requeued uint64 // answers given, by kind

	Modified  uint64 // of the answers, those with a new payload
	Defaulted uint64 // of the answers, those that Config.Default gave
	Open      int    // packets received and not answered

	Malformed     uint64 // messages that could not be read
	Gone          uint64 // verdicts for packets that the kernel no longer had
	VerdictErrors uint64 // verdicts that the kernel refused for other reasons
	Overruns      uint64 // times that loss was noticed while reading; see Config.OnOverrun

	Latency Latency // of the packets whose verdict has been sent

	SocketDrops uint64 // messages that the kernel could not put into the socket's buffer

	// Kernel is the kernel's own account of the queue since it was bound. It is nil where it cannot be read: its file
	// belongs to root of the user namespace that owns the network namespace, and a socketpair has none.
	Kernel *KernelStats
}

// KernelStats is a row of /proc/net/netfilter/nfnetlink_queue. What a program never got to see is QueueDropped and
// UserDropped together.
type KernelStats struct {
	Waiting      uint32 // packets in the queue that have no verdict
	QueueDropped uint32 // packets dropped because the queue was full (Config.MaxLen)
	UserDropped  uint32 // packets dropped because the socket's buffer was full (Config.RecvBuffer)
	LastID       uint32 // id of the packet that was queued last, as ID.Uint32 gives it; 0 before the first
}

// tally is what the receive loop counts.
type tally struct {
	received, malformed, gone, verdictErrors, overruns atomic.Uint64
}

// Stats returns the counts so far. It may be called from any goroutine; it asks the kernel each time.
func (q *Queue) Stats() Stats {
	o := q.outbox
	o.mu.Lock()
	c, received := o.counts, q.tally.received.Load()
	o.mu.Unlock()
	s := Stats{
		Received: received,
		Accepted: c.accepted, Dropped: c.dropped, Repeated: c.repeated, Stopped: c.stopped, Requeued: c.requeued,
		Modified: c.modified, Defaulted: c.defaulted,
		Open:      int(received - c.answers()),
		Malformed: q.tally.malformed.Load(), Gone: q.tally.gone.Load(), VerdictErrors: q.tally.verdictErrors.Load(),
		Overruns:    q.tally.overruns.Load(),
		Latency:     q.latency.read(),
		SocketDrops: q.conn.Drops(),
	}
	if row, ok := q.tableRow(); ok {
		s.Kernel = &KernelStats{row.Waiting, row.QueueDropped, row.UserDropped, row.IDSequence}
	}
	return s
}

// tableRow reads the kernel's row about this queue, of whoever owns it.
func (q *Queue) tableRow() (wire.QueueInfo, bool) {
	if q.table == nil {
		return wire.QueueInfo{}, false
	}
	var text []byte
	for chunk := make([]byte, 4096); ; {
		n, err := q.table.ReadAt(chunk, int64(len(text)))
		text = append(text, chunk[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return wire.QueueInfo{}, false
		}
	}
	rows, err := wire.ParseQueueTable(text)
	if err != nil {
		return wire.QueueInfo{}, false
	}
	for _, row := range rows {
		if row.Number == q.cfg.Queue {
			return row, true
		}
	}
	return wire.QueueInfo{}, false
}
