package ipq

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"sync"
	"time"

	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

// requests are the configuration messages whose acknowledgement is waited for.
type requests struct {
	mu      sync.Mutex
	seq     uint32
	waiting map[uint32]chan error
	err     error // of a closed queue
}

func (r *requests) init() { r.waiting = make(map[uint32]chan error) }

func (r *requests) next() uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	return r.seq
}

// register returns the number of a message whose acknowledgement is to go to done, which has room for it.
func (r *requests) register(done chan error) (seq uint32) {
	seq = r.next()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		done <- r.err
	}
	r.waiting[seq] = done
	return seq
}

// forget takes out the messages whose acknowledgement was to go to done.
func (r *requests) forget(done chan error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.waiting, func(_ uint32, d chan error) bool { return d == done })
}

// answered hands an acknowledgement to whom it is for. It reports false if nobody waits for it any more.
func (r *requests) answered(seq uint32, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := r.waiting[seq]
	if done == nil {
		return false
	}
	delete(r.waiting, seq)
	done <- err
	return true
}

func (r *requests) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	for seq, done := range r.waiting {
		delete(r.waiting, seq)
		done <- err
	}
}

const (
	ackWait  = 250 * time.Millisecond
	ackTries = 8
)

// errNoAck: the acknowledgement did not come.
var errNoAck = errors.New("no acknowledgement")

// request sends c and waits for its acknowledgement, which comes through the receive loop if one runs and is read here
// if none does. Under a flood the kernel may have had no room for it in the socket's buffer: c is then sent again, which
// does no harm. The acknowledgement of an earlier message, from an end that is slow, is as good.
func (q *Queue) request(c wire.Config) error {
	done := make(chan error, ackTries+1) // and one that fail puts in
	defer q.requests.forget(done)
	for try := range ackTries {
		err := q.requestOnce(c, q.requests.register(done), done)
		if errors.Is(err, errNoAck) && q.reading.Load() {
			// The receive loop may have taken it, and not come to deliver it yet.
			select {
			case err = <-done:
			case <-time.After(time.Millisecond << try):
			}
		}
		if !errors.Is(err, errNoAck) {
			return err
		}
	}
	return errors.New("the kernel does not acknowledge the configuration: the socket's buffer stays full; read faster, or set a larger Config.RecvBuffer")
}

func (q *Queue) requestOnce(c wire.Config, seq uint32, done chan error) error {
	var v nlsock.Vector
	v.Add(wire.AppendConfig(nil, c, seq))
	if err := sendPatiently(q.conn, &v); err != nil {
		return err
	}
	end := time.Now().Add(ackWait)
	for {
		if q.readMu.TryLock() {
			err := q.readAck(done, end)
			q.readMu.Unlock()
			return err
		}
		// Another goroutine reads: it delivers the acknowledgement, or leaves.
		select {
		case err := <-done:
			return err
		case <-time.After(time.Millisecond):
			if time.Now().After(end) {
				return errNoAck
			}
		}
	}
}

// readAck receives until the acknowledgement is there, and keeps what else comes for the receive loop. readMu must be
// held.
//
// The kernel acknowledges within the send, so one that is not there when the socket is empty was lost, and it would be
// wrong to wait for it: what is received meanwhile gets no verdict. The other end of a socketpair takes its time.
func (q *Queue) readAck(done chan error, end time.Time) error {
	ring := nlsock.NewRing(batchMin, q.slotSize)
	recv := q.conn.TryRecv
	if !q.conn.Netlink() {
		recv = q.conn.Recv
	}
	q.setDeadline(func(d *deadline) { d.reader = end })
	defer q.setDeadline(func(d *deadline) { d.reader = time.Time{} })
	for {
		select {
		case err := <-done:
			return err
		default:
		}
		n, err := recv(ring)
		switch {
		case errors.Is(err, nlsock.ENOBUFS):
			q.tally.overruns.Add(1)
			continue
		case err == nil && n == 0, errors.Is(err, os.ErrDeadlineExceeded):
			select {
			case err := <-done: // the receive loop had taken it before the wait here began
				return err
			default:
				return errNoAck
			}
		case err != nil:
			return err
		}
		for i := range n {
			if err := q.sift(ring, i); err != nil {
				return err
			}
		}
	}
}

// stashed is a datagram that was received for somebody else.
type stashed struct {
	datagram []byte
	cut      bool // it was longer than the buffer
}

// sift keeps the datagram in buffer i, unless it is the reply to a request.
func (q *Queue) sift(ring *nlsock.Ring, i int) error {
	datagram := ring.Datagram(i)
	if len(datagram) == 0 && !q.conn.Netlink() {
		return errPeerGone
	}
	if ring.Cut(i) {
		datagram = wire.Shorten(datagram)
	}
	if typ, body, ok := wire.Message(datagram); ok && typ == wire.TypeError {
		if e, err := wire.DecodeError(body); err == nil && e.Request.Type == wire.TypeConfig {
			q.requests.answered(e.Request.Seq, errno(e))
			return nil
		}
	}
	q.stash = append(q.stash, stashed{bytes.Clone(datagram), ring.Cut(i)})
	return nil
}

// errno is what an NLMSG_ERROR says; nil for an acknowledgement.
func errno(e wire.Error) error {
	if e.Errno == 0 {
		return nil
	}
	return nlsock.Errno(e.Errno)
}

// SetMode changes what the kernel copies of packets queued from now on, and waits for the kernel's acknowledgement.
// Answers that were given before it reach the kernel before it. It may be called from any goroutine, while Serve or Recv
// runs and under any load. The range is as in Config.Range, and may not be larger than the one the queue was opened with,
// for which its buffers were made.
func (q *Queue) SetMode(m Mode, rng int) error {
	c := Config{Mode: m, Range: rng, Flags: q.flags}
	err := c.check()
	if err == nil && c.slotSize() > q.slotSize {
		err = errors.New("the new mode or range copies more than the queue was opened for: open it with the larger range")
	}
	if err == nil {
		err = q.flush()
	}
	if err == nil {
		err = q.request(wire.Config{Queue: q.cfg.Queue, SetParams: true, CopyMode: c.copyMode(), CopyRange: uint32(rng)})
	}
	if err != nil {
		return q.opError("set mode of", err)
	}
	return nil
}
