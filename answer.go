package ipq

import (
	"fmt"
	"os"
)

// answer is SetVerdict, by whatever means the program calls it.
func (q *Queue) answer(id ID, v Verdict, c *Changes) error {
	if !v.final() {
		return q.opError("set verdict", fmt.Errorf("packet %v: %w: %v", id, ErrInvalidVerdict, v))
	}
	if q.closed.Load() {
		return q.opError("set verdict", os.ErrClosed)
	}
	var judge func(facts) error
	if c != nil {
		judge = func(f facts) error { return q.judge(c, f) }
	}
	o := q.outbox
	o.mu.Lock()
	f, inTurn, err := facts{}, false, error(ErrAnswered)
	if id.generation == q.generation {
		f, inTurn, err = o.claim(id.seq, judge)
	}
	if err != nil {
		o.mu.Unlock()
		return q.opError("set verdict", fmt.Errorf("packet %v: %w", id, err))
	}
	o.add(id.seq, f, v, c)
	if inTurn && (q.serving.Load() || !o.answeredAll()) || c != nil && c.More {
		// The batch that is being worked on sends its answers together, or the program's next answer takes this one along.
		o.mu.Unlock()
		q.guard.arm()
		return nil
	}
	o.publish()
	o.mu.Unlock()
	if err := q.flushSoon(); err != nil {
		return q.opError("set verdict", err)
	}
	return nil
}

// judge refuses changes that a packet cannot take.
func (q *Queue) judge(c *Changes, f facts) error {
	if c.ConnMarkMask != 0 && f.bits&isTracked == 0 {
		return ErrNoConntrack
	}
	if c.ConnLabelsMask != (ConnLabels{}) && f.bits&hasLabelRoom == 0 {
		return ErrNoConnLabels
	}
	if c.Payload == nil || c.inPlace {
		return nil
	}
	return judgePayload(c.Payload, f, c.Raw, q.sender.maxPayload())
}

// answerDefault answers by Config.Default, if nobody has answered, and tells the program why.
func (q *Queue) answerDefault(id ID, why error) {
	o := q.outbox
	o.mu.Lock()
	f, _, err := o.claim(id.seq, nil)
	if err == nil {
		o.add(id.seq, f, q.cfg.Default, nil)
		o.counts.defaulted++
	}
	o.mu.Unlock()
	if err == nil {
		q.tellDefault(id, why)
	}
}

// answerUnseen answers by Config.Default a packet that was never handed out.
func (q *Queue) answerUnseen(id ID, why error) {
	o := q.outbox
	o.mu.Lock()
	o.add(id.seq, facts{at: q.received}, q.cfg.Default, nil)
	o.counts.defaulted++
	o.mu.Unlock()
	q.guard.arm()
	q.tellDefault(id, why)
}

func (q *Queue) tellDefault(id ID, why error) {
	if q.cfg.OnDefault != nil {
		q.cfg.OnDefault(id, why)
	}
}
