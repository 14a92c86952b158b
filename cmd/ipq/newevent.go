package main

import (
	"time"

	"ipq"
)

// newEvent describes a packet of a queue and its verdict. It refers to the
// packet's buffer.
func newEvent(queue uint16, p *ipq.Packet, v ipq.Verdict, modified bool) event {
	at, ok := p.Time()
	if !ok {
		at = time.Now() // the kernel stamps few packets
	}
	return event{
		Time: at, Queue: queue, ID: p.ID.Uint32(), Family: p.Family, Hook: p.Hook,
		In: p.InName(), Out: p.OutName(), Mark: p.Mark, Length: p.Length, Payload: p.Payload,
		Pending: p.ChecksumPending(), Verdict: v, Modified: modified,
	}
}

// newTally counts what a queue has done.
func newTally(s ipq.Stats) tally {
	t := tally{Accepted: s.Accepted, Dropped: s.Dropped, Modified: s.Modified, LostUnknown: s.Kernel == nil}
	if s.Kernel != nil {
		t.Lost = uint64(s.Kernel.QueueDropped) + uint64(s.Kernel.UserDropped)
	}
	return t
}
