package wire

import (
	"bytes"
	"fmt"
	"strconv"
)

// QueueInfo is one bound queue, as /proc/net/netfilter/nfnetlink_queue has it.
// The kernel counts from the moment the queue was bound; the counters wrap.
type QueueInfo struct {
	Number       uint16
	PortID       uint32 // netlink port of the owner's socket; often, not always, a pid
	Waiting      uint32 // packets that have no verdict yet
	CopyMode     uint8  // NFQNL_COPY_NONE 0, META 1, PACKET 2
	CopyRange    uint32 // bytes of each packet that are copied
	QueueDropped uint32 // dropped because the queue was full
	UserDropped  uint32 // dropped because the owner's socket buffer was full
	IDSequence   uint32 // id of the last packet
}

// queueColumns is how many columns a line of the table has; the last is always
// "1". A kernel that adds some adds them behind.
const queueColumns = 9

// ParseQueueTable reads the text of /proc/net/netfilter/nfnetlink_queue, one
// line per queue. The result shares no memory with b.
func ParseQueueTable(b []byte) ([]QueueInfo, error) {
	var queues []QueueInfo
	number := 0
	for line := range bytes.Lines(b) {
		number++
		q, err := parseQueueLine(line)
		if err != nil {
			return nil, fmt.Errorf("queue table, line %d: %w", number, err)
		}
		queues = append(queues, q)
	}
	return queues, nil
}

func parseQueueLine(line []byte) (QueueInfo, error) {
	var column [queueColumns]uint32
	fields := bytes.Fields(line)
	if len(fields) < queueColumns {
		return QueueInfo{}, fmt.Errorf("%d columns, want %d", len(fields), queueColumns)
	}
	for i := range column {
		bits := 32
		switch i {
		case 0:
			bits = 16
		case 3:
			bits = 8
		}
		n, err := strconv.ParseUint(string(fields[i]), 10, bits)
		if err != nil && i == 1 {
			// Old kernels print the port as a signed number, and the ports
			// that the kernel chooses itself are above 2^31.
			var signed int64
			signed, err = strconv.ParseInt(string(fields[i]), 10, 32)
			n = uint64(uint32(signed))
		}
		if err != nil {
			return QueueInfo{}, fmt.Errorf("column %d: %w", i+1, err)
		}
		column[i] = uint32(n)
	}
	return QueueInfo{
		Number:       uint16(column[0]),
		PortID:       column[1],
		Waiting:      column[2],
		CopyMode:     uint8(column[3]),
		CopyRange:    column[4],
		QueueDropped: column[5],
		UserDropped:  column[6],
		IDSequence:   column[7],
	}, nil
}
