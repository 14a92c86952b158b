package ipqueue

import (
	"ipq"
	"ipq/internal/wire"
)

// packetID names a waiting packet: which queue it came out of, and its id there.
type packetID struct {
	feed *feed
	id   ipq.ID
}

// verdicts are ipq's for ip_queue's; NF_QUEUE is not among them.
var verdicts = [wire.IPQVerdictMax + 1]ipq.Verdict{
	wire.IPQVerdictDrop:   ipq.Drop,
	wire.IPQVerdictAccept: ipq.Accept,
	wire.IPQVerdictRepeat: ipq.Repeat,
	wire.IPQVerdictStop:   ipq.Stop,
}

// settle answers a packet, with payload in its place if that is not nil. more says
// that another answer follows at once, and may leave together with this one.
func (k packetID) settle(verdict uint32, payload []byte, more bool) {
	v := verdicts[verdict]
	if verdict == wire.IPQVerdictQueue {
		v = ipq.Requeue(k.feed.queue.Number())
	}
	changes := ipq.Changes{More: more}
	if payload != nil && v != ipq.Drop {
		changes.Payload, changes.Raw = payload, true
	}
	if err := k.feed.queue.SetVerdict(k.id, v, changes); err != nil {
		// Nothing but a closed queue is to be expected. If there is more to it, the
		// packet must not wait for ever.
		_ = k.feed.queue.SetVerdict(k.id, ipq.Drop)
	}
}
