package main

import (
	"context"

	"ipq"
)

// ipqQueue reads with this module's own library, a group of queues where there is more than one.
type ipqQueue struct {
	settings settings
	queue    server
	held     chan ipq.ID
}

type server interface {
	Serve(context.Context, ipq.Handler) error
	SetVerdict(ipq.ID, ipq.Verdict, ...ipq.Changes) error
}

func (r *ipqQueue) bind(s settings) (err error) {
	c := ipq.Config{Queue: s.queue, MaxLen: s.maxlen, RecvBuffer: s.rcvbuf, BusyPoll: s.busypoll}
	if s.gso {
		c.Flags = ipq.FlagGSO
	}
	r.settings = s
	if s.queues > 1 {
		r.queue, err = ipq.OpenGroup(c, s.queue+s.queues-1)
	} else {
		r.queue, err = ipq.Open(c)
	}
	return err
}

func (r *ipqQueue) read() error {
	handlers := map[work]ipq.Handler{accept: r.accept, alternate: r.alternate, mark: r.mark, rewrite: r.rewrite, hold: r.hold}
	if r.settings.work == hold {
		r.held = make(chan ipq.ID, r.settings.maxlen)
		for range 2 {
			go r.answerHeld()
		}
	}
	return r.queue.Serve(context.Background(), handlers[r.settings.work])
}

func (r *ipqQueue) accept(*ipq.Packet) ipq.Verdict {
	answered.Add(1)
	return ipq.Accept
}

func (r *ipqQueue) alternate(*ipq.Packet) ipq.Verdict {
	if answered.Add(1)&1 == 0 {
		return ipq.Drop
	}
	return ipq.Accept
}

func (r *ipqQueue) mark(p *ipq.Packet) ipq.Verdict {
	p.SetMark(uint32(1+answered.Add(1)&1), ^uint32(0))
	return ipq.Accept
}

func (r *ipqQueue) rewrite(p *ipq.Packet) ipq.Verdict {
	answered.Add(1)
	header := int(p.Payload[0]&15) * 4
	copy(p.Payload[header+8:], rewritten)
	if err := p.SetPayload(p.Payload); err != nil {
		exit(err)
	}
	return ipq.Accept
}

func (r *ipqQueue) hold(p *ipq.Packet) ipq.Verdict {
	r.held <- p.ID
	return ipq.Hold
}

// answerHeld answers from another goroutine than the handler's.
func (r *ipqQueue) answerHeld() {
	for id := range r.held {
		answered.Add(1) // first: the harness asks when the last packet has passed
		if err := r.queue.SetVerdict(id, ipq.Accept); err != nil {
			exit(err)
		}
	}
}
