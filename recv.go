package ipq

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"ipq/internal/wire"
)

var errPeerGone = errors.New("the other end of the socket is gone")

// Recv waits until there is at least one packet, and returns those that are there, as many as b holds. It first sends
// the answers given so far. Every packet must be answered, now or later, in any order: Packet.SetVerdict,
// Queue.SetVerdict.
//
// Errors: ErrReading while another Recv or Serve runs, os.ErrDeadlineExceeded, os.ErrClosed. An overrun is not an error:
// see Config.OnOverrun and Stats.
func (q *Queue) Recv(b *Batch) error {
	if !q.reading.CompareAndSwap(false, true) {
		return q.opError("recv from", ErrReading)
	}
	defer q.reading.Store(false)
	q.settle()
	if err := q.recv(b); err != nil {
		return q.opError("recv from", err)
	}
	q.given = q.given[:0]
	for i := range b.n {
		q.given = append(q.given, b.packets[i].ID.seq)
	}
	q.outbox.handed.Store(b.packets[b.n-1].ID.seq)
	q.outbox.inHand.Store(int32(b.n))
	return nil
}

// settle closes the account of the last Recv: what was not answered is held from now on.
func (q *Queue) settle() {
	if len(q.given) == 0 {
		return
	}
	o := q.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, seq := range q.given {
		o.cursor = seq
		if q.ledger.find(seq) != nil {
			o.hold(seq)
		}
	}
	q.given = q.given[:0]
	o.inHand.Store(0)
}

// recv fills b with at least one packet. The caller has the right to read.
func (q *Queue) recv(b *Batch) error {
	b.prepare(q.slotSize)
	if err := q.flush(); err != nil {
		return err
	}
	for b.n == 0 {
		n, err := q.fill(b)
		if err != nil {
			if errors.Is(err, syscall.ENOBUFS) {
				q.overrun(0)
				continue
			}
			return err
		}
		for i := range n {
			if err := q.take(b, i); err != nil {
				return err
			}
		}
	}
	q.tally.received.Add(uint64(b.n))
	return nil
}

// fill puts datagrams into b's buffers: kept ones first, then from the socket.
func (q *Queue) fill(b *Batch) (int, error) {
	q.readMu.Lock()
	defer q.readMu.Unlock()
	if len(q.stash) == 0 {
		return q.conn.Recv(b.ring)
	}
	n := min(len(q.stash), b.ring.Len())
	for i := range n {
		b.ring.Put(i, q.stash[i])
		q.stash[i] = nil
	}
	if q.stash = q.stash[n:]; len(q.stash) == 0 {
		q.stash = nil
	}
	return n, nil
}

// take deals with the datagram in buffer i: a packet goes into b, a reply to whom it is for.
func (q *Queue) take(b *Batch, i int) error {
	datagram := b.ring.Datagram(i)
	if len(datagram) == 0 && !q.conn.Netlink() {
		return errPeerGone
	}
	if b.ring.Cut(i) {
		// The header says more than arrived. What did arrive begins with the id: let the decoder find it.
		datagram = wire.Shorten(datagram)
	}
	h, body, _, ok, _ := wire.Next(datagram)
	switch {
	case ok && h.Type == wire.TypePacket:
		q.takePacket(b, datagram, body)
	case ok && h.Type == wire.TypeError:
		q.replied(body)
	case ok && h.Type == wire.TypeOverrun:
		q.overrun(0)
	default:
		q.tally.malformed.Add(1)
	}
	return nil
}

func (q *Queue) takePacket(b *Batch, datagram, body []byte) {
	var w wire.Packet
	identified, err := wire.DecodePacket(&w, body)
	if !identified {
		q.tally.malformed.Add(1)
		return
	}
	seq := extend(q.last, w.ID)
	if q.last != 0 && seq > q.last+1 {
		q.overrun(seq - q.last - 1)
	}
	q.last = max(seq, q.last)
	p := &b.packets[b.n]
	p.fill(q, &w, seq, datagram[:cap(datagram)])
	if !q.ledger.enter(seq, p.info()) {
		q.answerUnentered(p.ID, ErrTooManyHeld)
		return
	}
	if err != nil {
		q.tally.malformed.Add(1)
		q.answerDefault(p.ID, fmt.Errorf("the message could not be read: %w", err))
		return
	}
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
	var cause error
	if e.Errno != 0 {
		cause = syscall.Errno(e.Errno)
	}
	switch e.Request.Type {
	case wire.TypeConfig:
		q.requests.answered(e.Request.Seq, cause)
	case wire.TypeVerdict, wire.TypeVerdictBatch:
		if cause != nil {
			q.refused(ID{q.generation, extend(q.last, e.Request.Seq)}, cause)
		}
	}
}

// refused tells the program that the kernel did not take a verdict.
func (q *Queue) refused(id ID, err error) {
	switch {
	case errors.Is(err, syscall.ENOENT):
		q.tally.gone.Add(1)
		err = ErrPacketGone
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENODEV):
		q.tally.verdictErrors.Add(1)
		err = fmt.Errorf("%w: %w", ErrNotOwner, err)
	case errors.Is(err, syscall.EINVAL):
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
