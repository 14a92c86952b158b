package ipq

import "time"

// expireHeld answers packets by Config.Default that have been held for longer than Config.HoldTimeout, until the queue
// is closed. Packets are held in the order in which they were received, so only the oldest has to be looked at.
func (q *Queue) expireHeld() {
	tick := time.NewTicker(max(q.cfg.HoldTimeout/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-q.ended:
			return
		case <-tick.C:
		}
		expired := false
		for {
			q.outbox.mu.Lock()
			seq, held := q.outbox.held.first()
			late := held && sinceEpoch()-q.outbox.held.find(seq).facts.at > q.cfg.HoldTimeout
			q.outbox.mu.Unlock()
			if !late {
				break
			}
			q.answerDefault(ID{q.generation, seq}, ErrHoldTimeout)
			expired = true
		}
		if expired {
			q.flushBeside()
		}
	}
}
