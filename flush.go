package ipq

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

// A sender turns answers into messages and sends them, as few as will do.
type sender struct {
	mu      sync.Mutex // held from taking the answers until they are sent
	conn    *nlsock.Conn
	queue   uint16
	maxSend int

	msgs   []byte // message headers; payloads are sent from where they are
	vector nlsock.Vector
	start  int // of the part of msgs that is not in vector yet
	err    error
}

// flush sends what was collected, in order, and returns when the kernel has it all.
func (q *Queue) flush() error {
	now := sinceEpoch()
	q.sender.mu.Lock()
	err := q.flushLocked()
	q.sender.mu.Unlock()
	if err != nil {
		return err
	}
	q.guard.sent(now)
	// Who answered after the last look and before the unlocking has left his answer to us.
	return q.flushSoon()
}

func (q *Queue) flushLocked() error {
	for {
		l, floor := q.outbox.take()
		if l == nil {
			return nil
		}
		err := q.sender.send(l, floor)
		q.outbox.give(l)
		if err != nil {
			return err
		}
	}
}

// flushSoon sees to it that what was collected is sent: here, or by the goroutine that is sending right now. While one
// sends, the others' answers gather and leave together.
func (q *Queue) flushSoon() error {
	for q.outbox.waiting.Load() > 0 && q.sender.mu.TryLock() {
		err := q.flushLocked()
		q.sender.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// send sends l. Runs of equal answers below floor become range verdicts: one message and, in the kernel, one pass. The
// rest are single messages, many to a send.
func (s *sender) send(l *letters, floor uint64) error {
	if !l.sorted {
		// Among different packets the order of verdicts means nothing to the kernel, and sorted answers make long runs.
		slices.SortFunc(l.answers, func(a, b answer) int { return cmp.Compare(a.seq, b.seq) })
	}
	s.msgs, s.start, s.err = s.msgs[:0], 0, nil
	s.vector.Reset()
	for i := 0; i < len(l.answers); {
		a := &l.answers[i]
		first, last := a.seq, a.last()
		for i++; i < len(l.answers) && a.same(&l.answers[i]) && l.answers[i].last() < floor; i++ {
			last = l.answers[i].last()
		}
		if end := min(last, floor-1); end > first {
			s.room(0)
			s.msgs = wire.AppendVerdictBatch(s.msgs, s.queue, a.verdict, uint32(end), a.setMark, a.mark)
			first = end + 1
		}
		for ; first <= last; first++ {
			s.single(a, first, l.extras)
		}
	}
	s.transmit()
	return s.err
}

func (s *sender) single(a *answer, seq uint64, extras []extra) {
	v := wire.Verdict{Queue: s.queue, Verdict: a.verdict, ID: uint32(seq), SetMark: a.setMark, Mark: a.mark}
	if a.extra < 0 {
		s.room(0)
		s.msgs = wire.AppendVerdict(s.msgs, &v)
		return
	}
	x := &extras[a.extra]
	v.ConnMark, v.ConnMarkMask = x.connMark, x.connMarkMask
	v.SetPayload, v.Payload = x.setPayload, x.payload
	s.room(len(x.payload))
	s.msgs = wire.AppendVerdict(s.msgs, &v)
	if len(x.payload) > 0 {
		s.part()
		s.vector.Add(x.payload)
		var zero [3]byte
		s.msgs = append(s.msgs, zero[:-len(x.payload)&3]...)
	}
}

// maxHead is more than any verdict message takes without its payload.
const maxHead = 128

// maxPayload is the most that one message can replace a packet by.
func (s *sender) maxPayload() int { return s.maxSend - maxHead }

// room sends what is there if another message with n bytes of payload would not fit with it.
func (s *sender) room(n int) {
	if s.vector.Bytes()+len(s.msgs)-s.start+maxHead+n > s.maxSend || s.vector.Pieces()+3 > nlsock.MaxPieces {
		s.transmit()
	}
}

// part closes the piece of msgs that was written since the last one.
func (s *sender) part() {
	s.vector.Add(s.msgs[s.start:])
	s.start = len(s.msgs)
}

func (s *sender) transmit() {
	s.part()
	if s.vector.Pieces() > 0 {
		// One that cannot be sent is no reason to keep the others.
		if err := sendPatiently(s.conn, &s.vector); s.err == nil {
			s.err = err
		}
	}
	s.vector.Reset()
	s.msgs, s.start = s.msgs[:0], 0
}

// sendPatiently tries again while the kernel has no memory for the message: a verdict must not be lost to that.
func sendPatiently(c *nlsock.Conn, v *nlsock.Vector) error {
	for wait := time.Millisecond; ; wait *= 2 {
		err := c.Send(v)
		if !errors.Is(err, nlsock.ENOBUFS) && !errors.Is(err, nlsock.ENOMEM) || wait > time.Second {
			return err
		}
		time.Sleep(wait)
	}
}
