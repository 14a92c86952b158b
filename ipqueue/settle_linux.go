package ipqueue

import (
	"ipq"
	"ipq/internal/wire"
)

// packetID names a waiting packet: which queue it came out of, and its id there.
type packetID struct {
	queue *ipq.Queue
	id    ipq.ID
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
		v = ipq.Requeue(k.queue.Number())
	}
	changes := ipq.Changes{More: more}
	if payload != nil && v != ipq.Drop {
		changes.Payload, changes.Raw = payload, true
	}
	if err := k.queue.SetVerdict(k.id, v, changes); err != nil {
		// Nothing but a closed queue is to be expected. If there is more to it, the
		// packet must not wait for ever.
		_ = k.queue.SetVerdict(k.id, ipq.Drop)
	}
}

// fence returns when every packet that the kernel queued because of verdicts
// given so far has been passed to its peer.
func (k packetID) fence() {
	// Each round is one message to the kernel, which changes nothing, and its
	// acknowledgement, which the receive loop finds behind the packets that were
	// queued before. After the first round the verdicts have reached the kernel;
	// after the second, what they queued has been received; after the third, the
	// feed has come back for more, so that it has passed it on.
	for range 3 {
		if k.queue.SetMode(ipq.ModePacket, 0) != nil {
			return
		}
	}
}
