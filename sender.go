package ipq

import (
	"sync"

	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

// A sender turns answers into messages and sends them, as few as will do.
type sender struct {
	mu      sync.Mutex // held from taking the answers until they are sent
	conn    *nlsock.Conn
	queue   uint16
	maxSend int

	msgs   []byte // messages; payloads that are not short are sent from where they are
	vector nlsock.Vector
	start  int // of the part of msgs that is not in vector yet

	verdict wire.Verdict // of the message that is being written; what few verdicts have is zero
	err     error
}

// send sends l. Runs of equal answers become range verdicts: one message and, in the kernel, one pass. The rest are single
// messages, many to a send.
//
// A packet goes on from the queue when the kernel reads its answer, so packets leave in the order in which they were
// answered. Only a dropped one can be answered out of turn: nobody sees when it ends.
func (s *sender) send(l *letters, floor uint64) error {
	s.msgs, s.start, s.err = s.msgs[:0], 0, nil
	s.vector.Reset()
	l.index()
	switch l.shortest() {
	case inOrder:
		s.pass(l, floor, func(*answer) bool { return true }, true)
	case dropsFirst:
		s.pass(l, floor, (*answer).drops, false)
		s.pass(l, floor, (*answer).passes, true)
	case dropsLast:
		s.pass(l, floor, (*answer).passes, false)
		s.pass(l, floor, (*answer).drops, true)
	}
	s.transmit()
	return s.err
}

// plan is an order of messages.
type plan int

const (
	inOrder    plan = iota
	dropsFirst      // one by one, so that a range verdict may span their ids
	dropsLast       // by a range verdict, when all others have gone
)

// shortest finds the plan with the fewest messages.
func (l *letters) shortest() plan {
	if !l.sorted || len(l.answers) < 3 {
		return inOrder
	}
	drops, others, runs := 0, 0, 0
	var last *answer
	for i := range l.answers {
		a := &l.answers[i]
		if a.drops() {
			drops += int(a.n)
			continue
		}
		others += int(a.n)
		if last == nil || !last.same(a) {
			runs++
		}
		last = a
	}
	switch n := len(l.answers); min(n, drops+runs, others+1) {
	case n:
		return inOrder
	case drops + runs:
		return dropsFirst
	}
	return dropsLast
}

// pass writes the messages for the answers that which picks. The others are sent before, or after.
func (s *sender) pass(l *letters, floor uint64, which func(*answer) bool, ranges bool) {
	for i := 0; i < len(l.answers); {
		a := &l.answers[i]
		if !which(a) {
			i++
			continue
		}
		// A range verdict answers every id up to its own that is still in the queue: it must stay below the floor, and below
		// every later answer.
		first, last, limit := a.seq, a.last(), min(floor, l.after(i))
		for i++; ranges && i < len(l.answers); i++ {
			b := &l.answers[i]
			if !which(b) {
				continue
			}
			below := min(floor, l.after(i))
			if !a.same(b) || b.seq < last || b.last() >= below {
				break
			}
			last, limit = b.last(), below
		}
		if end := min(last, limit-1); ranges && end > first {
			s.room(0)
			s.msgs = wire.AppendVerdictBatch(s.msgs, s.queue, a.verdict, uint32(end), a.setMark, a.mark)
			first = end + 1
		}
		for ; first <= last; first++ {
			s.single(l, a, first)
		}
	}
}

func (s *sender) single(l *letters, a *answer, seq uint64) {
	v := &s.verdict
	v.Queue, v.Verdict, v.ID, v.SetMark, v.Mark = s.queue, a.verdict, uint32(seq), a.setMark, a.mark
	if a.extra < 0 {
		s.room(0)
		s.msgs = wire.AppendVerdict(s.msgs, v)
		return
	}
	x := &l.extras[a.extra]
	if x.conn >= 0 {
		c := &l.conns[x.conn]
		v.ConnMark, v.ConnMarkMask = c.mark, c.markMask
		v.ConnLabels, v.ConnLabelsMask = wire.Labels(c.labels), wire.Labels(c.labelsMask)
	}
	v.SetPayload, v.Payload = x.payload != nil, x.payload
	s.room(len(x.payload))
	s.msgs = wire.AppendVerdict(s.msgs, v)
	*v = wire.Verdict{}
	if len(x.payload) > shortPayload {
		s.part()
		s.vector.Add(x.payload)
	} else {
		s.msgs = append(s.msgs, x.payload...)
	}
	var zero [3]byte
	s.msgs = append(s.msgs, zero[:-len(x.payload)&3]...)
}

// shortPayload is the most that is copied behind its message: to describe it to the kernel as a piece of its own costs
// more.
const shortPayload = 256

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
