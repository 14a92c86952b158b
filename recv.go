package ipq

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

var errPeerGone = errors.New("the other end of the socket is gone")

// Recv waits until there is at least one packet, and returns those that are there, as many as b holds. It first sends
// the answers given so far. Every packet must be answered, now or later, in any order: Packet.SetVerdict,
// Queue.SetVerdict.
//
// Errors: ErrReading while another Recv or Serve runs, os.ErrDeadlineExceeded, os.ErrClosed, ErrDrained. An overrun is not
// an error: see Config.OnOverrun and Stats.
func (q *Queue) Recv(b *Batch) error {
	if q.draining.Load() {
		return q.opError("recv from", ErrDrained) // without taking the right to read from Drain
	}
	if b.queue != nil && b.queue != q {
		return q.opError("recv from", errors.New("the batch belongs to another queue: use one for each"))
	}
	b.queue = q
	if !q.reading.CompareAndSwap(false, true) {
		return q.opError("recv from", ErrReading)
	}
	defer q.reading.Store(false)
	err := q.recv(b, nil)
	if q.draining.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrDrained
	}
	if err != nil {
		return q.opError("recv from", err)
	}
	return nil
}

// settle ends the turns of the last batch, and says how many packets are held.
func (q *Queue) settle() (held int) {
	refused, held := q.outbox.rest(q.cfg.MaxHeld, q.cfg.Default)
	for _, seq := range refused {
		q.tellDefault(ID{q.generation, seq}, ErrTooManyHeld)
	}
	return held
}

// recv fills b with at least one packet, after the answers to those that were in it have been sent or, under load, left
// to r. The caller has the right to read.
func (q *Queue) recv(b *Batch, r *relay) error {
	held := q.settle()
	passed := r != nil && r.saturated(b.full(), b.n, q.received) && r.pass()
	b.n = 0 // also when what follows fails: what was in b is answered or held
	if err := q.keptError(); err != nil {
		return err
	}
	if !passed {
		if err := q.flush(); err != nil {
			return err
		}
		q.outbox.buffersFree()
	}
	b.poison()
	b.prepare(q.slotSize)
	for b.n == 0 {
		n, err := q.fill(b, !passed)
		switch {
		case errors.Is(err, nlsock.ENOBUFS):
			q.overrun(0)
			continue
		case err != nil:
			if kept := q.keptError(); kept != nil {
				return kept // the wait was ended for it
			}
			return err
		}
		q.received = sinceEpoch()
		for i := range n {
			if err = q.take(b, i); err != nil {
				break // it comes up again when the packets before it have been answered
			}
		}
		if b.n > 0 {
			break
		}
		if err != nil {
			return err
		}
		// Nothing that the program could be busy with has come, so nobody is in a hurry but the packets whose answers are
		// still here.
		if err := q.flush(); err != nil {
			return err
		}
		passed = false
	}
	q.tally.received.Add(uint64(b.n))
	q.outbox.batch.Store(b)
	q.measure(q.received, held)
	return nil
}

// fill puts datagrams into b's buffers: kept ones first, then from the socket, waiting for one if wait is set.
func (q *Queue) fill(b *Batch, wait bool) (int, error) {
	q.readMu.Lock()
	defer q.readMu.Unlock()
	if len(q.stash) > 0 {
		return q.unstash(b), nil
	}
	if !wait {
		return q.conn.TryRecv(b.ring)
	}
	if q.cfg.BusyPoll > 0 {
		if n, err := q.busyPoll(b); n > 0 || err != nil {
			return n, err
		}
	}
	return q.conn.Recv(b.ring)
}

// busyPoll looks for packets again and again instead of sleeping: waking up costs more than a packet does.
func (q *Queue) busyPoll(b *Batch) (int, error) {
	for start := time.Now(); ; runtime.Gosched() {
		n, err := q.conn.TryRecv(b.ring)
		if n > 0 || err != nil || time.Since(start) > q.cfg.BusyPoll {
			return n, err
		}
	}
}

func (q *Queue) unstash(b *Batch) int {
	n := min(len(q.stash), b.ring.Len())
	for i := range n {
		b.ring.Put(i, q.stash[i].datagram, q.stash[i].cut)
		q.stash[i] = stashed{}
	}
	if q.stash = q.stash[n:]; len(q.stash) == 0 {
		q.stash = nil
	}
	return n
}

// take deals with the datagram in buffer i: a packet goes into b, a reply to whom it is for.
func (q *Queue) take(b *Batch, i int) error {
	datagram := b.ring.Datagram(i)
	if len(datagram) == 0 && !q.conn.Netlink() {
		return errPeerGone
	}
	cut := b.ring.Cut(i)
	if cut {
		// The header says more than arrived. What did arrive begins with the id: let the decoder find it.
		datagram = wire.Shorten(datagram)
	}
	typ, body, ok := wire.Message(datagram)
	if ok && len(datagram)-wire.HeaderSize-len(body) >= wire.HeaderSize {
		q.tally.malformed.Add(1) // the kernel sends one message at a time: what follows is not looked at
	}
	switch {
	case ok && typ == wire.TypePacket:
		q.takePacket(b, datagram, body, cut)
	case ok && typ == wire.TypeError:
		q.replied(body)
	case ok && typ == wire.TypeOverrun:
		q.overrun(0)
	default:
		q.tally.malformed.Add(1)
	}
	return nil
}

func (q *Queue) takePacket(b *Batch, datagram, body []byte, cut bool) {
	p := &b.packets[b.n]
	w := &q.decoded
	identified, err := wire.DecodePacket(w, body)
	if !identified {
		q.tally.malformed.Add(1)
		return
	}
	if cut && err == nil {
		err = wire.ErrShort // where an attribute ended, so that it does not show
	}
	seq, skipped, anew := follow(q.last, w.ID)
	if skipped > 0 {
		q.overrun(skipped)
	}
	if anew {
		q.forget()
	}
	if q.inherited.first == 0 {
		if q.inherited.open {
			q.settleInheritance(uint32(seq - 1)) // an error comes up again with the first verdict
		}
		q.inherited.first = seq
	}
	q.last = seq
	f := p.fill(q, w, seq, datagram[:cap(datagram)])
	if err != nil {
		q.tally.malformed.Add(1)
		q.tally.received.Add(1)
		q.answerUnseen(p.ID, fmt.Errorf("the message could not be read: %w", err))
		return
	}
	b.entries = append(b.entries, entry{seq, f})
	b.n++
}

func (q *Queue) overrun(missing uint64) {
	q.tally.overruns.Add(1)
	if q.cfg.OnOverrun != nil {
		q.cfg.OnOverrun(missing)
	}
}

// replied deals with the body of an NLMSG_ERROR. The sequence number of a verdict is the packet's id.
func (q *Queue) replied(body []byte) {
	e, err := wire.DecodeError(body)
	if err != nil {
		q.tally.malformed.Add(1)
		return
	}
	switch cause := errno(e); e.Request.Type {
	case wire.TypeConfig:
		if q.requests.answered(e.Request.Seq, cause) {
			// The request that waits for it may have begun to read by itself.
			q.setDeadline(func(d *deadline) {
				if !d.reader.IsZero() {
					d.reader = past
				}
			})
		}
	case wire.TypeVerdict, wire.TypeVerdictBatch:
		if id := extend(q.last, e.Request.Seq); cause != nil && id >= q.inherited.first {
			packets := 1
			if e.Request.Type == wire.TypeVerdictBatch {
				packets = flushOf // all that it was for, and those are two at least; one of them there, and it is no error
			}
			q.refused(ID{q.generation, id}, cause, packets)
		}
	}
}

// refused tells the program that the kernel did not take a verdict for so many packets.
func (q *Queue) refused(id ID, err error, packets int) {
	switch {
	case errors.Is(err, nlsock.ENOENT):
		q.tally.gone.Add(1)
		err = ErrPacketGone
		if q.vanished.note(packets) && q.cfg.OnFlush != nil {
			defer q.cfg.OnFlush()
		}
	case errors.Is(err, nlsock.EPERM), errors.Is(err, nlsock.ENODEV):
		q.tally.verdictErrors.Add(1)
		err = fmt.Errorf("%w: %w", ErrNotOwner, err)
	case errors.Is(err, nlsock.EINVAL):
		q.tally.verdictErrors.Add(1)
		err = fmt.Errorf("%w: %w", ErrInvalidVerdict, err)
	default:
		q.tally.verdictErrors.Add(1)
		err = os.NewSyscallError("verdict", err)
	}
	if q.cfg.OnVerdictError != nil {
		q.cfg.OnVerdictError(id, err)
	}
}
