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

// loss is packets that were lost, or not shown, since the last such row.
type loss struct {
	Time         time.Time
	QueueDropped uint64 // the queue was full
	UserDropped  uint64 // the socket's buffer was full
	Flushed      uint64 // shown, and then the kernel had them no more: so many at least
	Unseen       uint64 // not dropped: they passed without being looked at
	Stopped      uint64 // the same, while the rules were paused
	Hidden       uint64 // not lost: looked at, and not shown because the output is too slow
}

// lost is how many packets were lost: dropped, or passed unseen.
func (l *loss) lost() uint64 {
	return l.QueueDropped + l.UserDropped + l.Flushed + l.Unseen + l.Stopped
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
	return fmt.Sprintf("%s: %d accepted, %d dropped, %d modified, %s lost", packets(t.packets()), t.Accepted, t.Dropped, t.Modified, lost)
}

// packets is a number of packets in words.
func packets(n uint64) string {
	if n == 1 {
		return "1 packet"
	}
	return fmt.Sprintf("%d packets", n)
}
