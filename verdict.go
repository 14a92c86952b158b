package ipq

import (
	"fmt"

	"ipq/internal/wire"
)

// A Verdict decides what becomes of a packet. Its zero value is invalid, so that a forgotten verdict is never mistaken
// for one: a handler that returns it has its packet answered by Config.Default, and OnDefault is called.
type Verdict uint32

// The verdicts. In terms of a ruleset: a packet that a rule sent to the queue has left the chain it was in, and comes
// back at the verdict.
const (
	_ Verdict = iota

	// Accept lets the packet go on with the next base chain of its hook, by priority. The rest of the chain that
	// queued it is not looked at: queueing is final for its chain.
	Accept

	// Drop ends the packet.
	Drop

	// Repeat sends the packet through the same base chain again, from its first rule. Set a mark that an earlier rule
	// lets pass, or the packet comes back for ever.
	Repeat

	// Stop lets the packet go on behind all chains of its hook. At Output it is not routed again, not even when its
	// addresses or its mark were changed.
	Stop

	// Hold leaves the packet in the queue. It must be answered later with Queue.SetVerdict, which takes what is to change:
	// what was set on the Packet is forgotten. See Config.MaxHeld.
	//
	// Without FlagGSO the kernel cuts a train of UDP datagrams (UDP_SEGMENT, as QUIC sends, or UDP GRO) before it queues it.
	// If the train begins a tracked connection, all segments share it, and the first confirms it when it passes its last hook.
	// Until then the kernel drops each of the others that comes back. All arrive if they are answered in order. All but one
	// are lost if the first is held, dropped or requeued, if they are answered in another order, or if they are queued at two
	// hooks behind conntrack, even with Accept. No error and no counter shows it. Answer the first segment at once and the
	// others in order, set FlagGSO, or queue before conntrack (priority -300).
	Hold

	requeue
)

const bypassBit = 1 << 8

// Requeue sends the packet to queue n, whose listener sees it next. It is dropped where nobody listens. Of a train of UDP
// datagrams that begins a tracked connection, segments are lost: see Hold.
func Requeue(n uint16) Verdict { return requeue | Verdict(n)<<16 }

// RequeueBypass sends the packet to queue n, and lets it go on as Accept does where nobody listens.
// Requires at least Linux 2.6.39.
func RequeueBypass(n uint16) Verdict { return requeue | bypassBit | Verdict(n)<<16 }

// String names the verdict: "accept", "drop", "repeat", "stop", "hold", "queue 5", "queue 5 bypass".
func (v Verdict) String() string {
	switch v {
	case Accept:
		return "accept"
	case Drop:
		return "drop"
	case Repeat:
		return "repeat"
	case Stop:
		return "stop"
	case Hold:
		return "hold"
	}
	switch v & 0xffff {
	case requeue:
		return fmt.Sprintf("queue %d", v>>16)
	case requeue | bypassBit:
		return fmt.Sprintf("queue %d bypass", v>>16)
	}
	return fmt.Sprintf("invalid verdict %#x", uint32(v))
}

// final reports whether v can be sent to the kernel.
func (v Verdict) final() bool {
	switch v {
	case Accept, Drop, Repeat, Stop:
		return true
	}
	return v&0xffff&^bypassBit == requeue
}

// kernel is the value that the kernel knows v by. The upper half carries the queue number of NF_QUEUE.
func (v Verdict) kernel() uint32 {
	switch v {
	case Accept:
		return wire.NFAccept
	case Repeat:
		return wire.NFRepeat
	case Stop:
		return wire.NFStop
	case Drop:
		return wire.NFDrop
	}
	k := wire.NFQueue | uint32(v)&0xffff0000
	if v&bypassBit != 0 {
		k |= wire.NFQueueBypass
	}
	return k
}
