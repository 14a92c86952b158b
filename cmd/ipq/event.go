package main

import (
	"fmt"
	"time"

	"ipq"
)

// event is one packet and what became of it, as the verbs that show packets
// print it. The payload is the packet's own: an event is printed before the
// verdict leaves.
type event struct {
	Time     time.Time
	Queue    uint16
	ID       uint32
	Family   ipq.Family // of the hook
	Hook     ipq.Hook
	In, Out  string // interface names; "" for none
	Mark     uint32 // of the packet, as it goes on
	Length   int    // of the whole packet, bytes
	Payload  []byte // from the IP header on; less than Length after a copy range
	Pending  bool   // a checksum is not filled in yet: the transport's, or of a packet inside
	Verdict  ipq.Verdict
	Modified bool // the verdict carries a new payload
}

// loss is packets that were not shown because a program was too slow, since the
// last such row.
type loss struct {
	Time         time.Time
	QueueDropped uint64 // the queue was full
	UserDropped  uint64 // the socket's buffer was full
	Unseen       uint64 // not dropped: they passed without being looked at
	Hidden       uint64 // not lost: looked at, and not shown because the output is too slow
}

// tally is what the stream ends with.
type tally struct {
	Accepted, Dropped uint64
	Modified          uint64 // among the accepted
	Lost              uint64
	LostUnknown       bool // the kernel did not tell; Lost is what is known
}

func (t tally) packets() uint64 { return t.Accepted + t.Dropped + t.Lost }

// String is the last line of the text output.
func (t tally) String() string {
	lost := fmt.Sprint(t.Lost)
	if t.LostUnknown {
		lost = "unknown"
	}
	return fmt.Sprintf("%d packets: %d accepted, %d dropped, %d modified, %s lost", t.packets(), t.Accepted, t.Dropped, t.Modified, lost)
}
