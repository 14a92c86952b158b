package ipq

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

// A Queue is an open kernel queue: packets come out of it, verdicts go back. The table in the package's documentation
// says which methods may run beside which.
type Queue struct {
	cfg        Config
	generation uint32
	flags      Flags
	slotSize   int
	recvBuffer int

	conn       *nlsock.Conn
	adopted    bool        // the socket is Config.File's
	table      *os.File    // /proc/…/nfnetlink_queue of the queue's namespace; nil where it cannot be read
	netns      os.FileInfo // of Config.Netns, as it was entered; nil for the caller's, and where /proc does not show it
	outbox     *outbox
	sender     sender
	flushError atomic.Pointer[error] // see keepError
	guard      guard

	closed   atomic.Bool
	ended    chan struct{} // closed when closed is set
	freed    chan struct{} // closed when Close has done its work
	draining atomic.Bool
	serving  atomic.Bool

	// The right to read. reading is taken by Recv and Serve as a whole; readMu by whoever is in the system call, which
	// may also be a SetMode that waits for its acknowledgement while nobody else reads.
	reading  atomic.Bool
	readMu   sync.Mutex
	stash    []stashed     // what came while an acknowledgement was waited for
	last     uint64        // sequence number of the last packet received; the receive loop's alone
	received time.Duration // when the last datagrams were received, since epoch; the receive loop's alone
	decoded  wire.Packet   // the message that is being looked at; the receive loop's alone

	inherited inheritance
	requests  requests
	deadline  deadline
	tally     tally
	latency   latencies
	gauge     gauge
	vanished  vanished
}

// Open binds the queue with one message that says everything, so that the queue is never seen half configured, and waits
// for the kernel's acknowledgement. Packets that arrive before it are kept for the first Recv.
//
// A queue must be closed: it is not collected as garbage.
//
// Errors: ErrQueueBusy, os.ErrPermission, errors.ErrUnsupported, and those of bad fields of c. It needs CAP_NET_ADMIN in
// the user namespace that owns the network namespace. Requires at least Linux 4.3.
func Open(c Config) (*Queue, error) {
	if err := c.check(); err != nil {
		if c.File != nil {
			c.File.Close()
		}
		return nil, &OpError{Op: "open", Queue: c.Queue, Err: err}
	}
	q, err := open(c.withDefaults())
	if err != nil {
		return nil, &OpError{Op: "open", Queue: c.Queue, Err: err}
	}
	return q, nil
}

func open(c Config) (*Queue, error) {
	q := &Queue{cfg: c, generation: generations.Add(1), slotSize: c.slotSize()}
	if err := q.dial(); err != nil {
		return nil, err
	}
	if err := q.setUp(); err != nil {
		q.conn.Close()
		if q.table != nil {
			q.table.Close()
		}
		return nil, err
	}
	return q, nil
}

// dial makes the socket, and opens the kernel's table of queues beside it: in the same namespace, and while the process
// still has the privileges that this may need.
func (q *Queue) dial() error {
	if q.cfg.File != nil {
		conn, err := nlsock.Adopt(q.cfg.File)
		if err != nil {
			return fmt.Errorf("Config.File: %w", err)
		}
		q.conn, q.adopted = conn, true
		if conn.Netlink() {
			q.table, _ = os.Open(nlsock.QueueTable)
		}
		q.cfg.File = nil
		return nil
	}
	here := func() (err error) {
		if q.conn, err = nlsock.Dial(); err == nil {
			q.table, _ = os.Open(nlsock.QueueTable)
		}
		return err
	}
	var err error
	if q.cfg.Netns != "" {
		err = nlsock.InNetns(q.cfg.Netns, func() error {
			q.netns = nlsock.OwnNetns()
			return here()
		})
	} else {
		err = here()
	}
	if errors.Is(err, nlsock.EPROTONOSUPPORT) {
		return fmt.Errorf("the kernel has no nfnetlink (CONFIG_NETFILTER_NETLINK): %w", errors.ErrUnsupported)
	}
	return err
}

func (q *Queue) setUp() (err error) {
	if q.recvBuffer, err = q.conn.SetRecvBuffer(q.cfg.RecvBuffer); err != nil {
		return err
	}
	if err := q.conn.SetSendBuffer(sendBuffer); err != nil {
		return err
	}
	maxSend, err := q.conn.MaxSend()
	if err != nil {
		return err
	}
	q.sender = sender{conn: q.conn, queue: q.cfg.Queue, maxSend: min(maxSend, sendBuffer)}
	q.outbox = newOutbox()
	q.ended, q.freed = make(chan struct{}), make(chan struct{})
	q.requests.init()
	if err := q.guard.init(q); err != nil {
		return err
	}
	if err := q.bind(); err != nil {
		q.guard.stop()
		return err
	}
	if q.cfg.HoldTimeout > 0 {
		go q.expireHeld()
	}
	return nil
}

// sendBuffer holds two packets of the largest size with their verdicts, or hundreds of small ones. It is what Linux
// gives by default.
const sendBuffer = 212992

// Number is the queue's number.
func (q *Queue) Number() uint16 { return q.cfg.Queue }

// Flags are those of Config.Flags and Config.Require that the kernel granted.
func (q *Queue) Flags() Flags { return q.flags }

// RecvBuffer is the size of the socket's receive buffer in bytes, counted as in Config.RecvBuffer; 0 for a socketpair.
func (q *Queue) RecvBuffer() int { return q.recvBuffer }

// InterfaceName is the name that the interface has now in the queue's network namespace, "" when there is none with
// this index. It asks the kernel each time.
func (q *Queue) InterfaceName(index uint32) string { return q.conn.InterfaceName(index) }

// SetVerdict answers a packet: one that a handler held, or that Recv returned. It may be called from any goroutine, in
// any order of packets, also for the packet that a handler is working on, whose later return value is then ignored. At
// most one Changes may be given.
//
// It does not wait for the kernel. What the kernel refuses later goes to Config.OnVerdictError. The answer is sent at
// once, or with the others of the batch that is being worked on, within a millisecond.
//
// Errors, with nothing sent and the packet still to be answered: ErrInvalidVerdict, and those of Packet.SetPayload,
// SetConnMark and SetConnLabels. ErrAnswered for a packet that was answered before, by the program or by Config.Default;
// os.ErrClosed after Close.
func (q *Queue) SetVerdict(id ID, v Verdict, changes ...Changes) error {
	switch len(changes) {
	case 0:
		return q.answer(id, v, nil)
	case 1:
		c := &changes[0]
		if c.Mark&^c.MarkMask != 0 || c.ConnMark&^c.ConnMarkMask != 0 || c.ConnLabels.outside(&c.ConnLabelsMask) {
			return q.opError("set verdict", fmt.Errorf("packet %v: a mark or a label is outside of its mask: a mask of all ones sets all of it", id))
		}
		return q.answer(id, v, c)
	}
	return q.opError("set verdict", fmt.Errorf("packet %v: %d Changes given, at most one makes sense", id, len(changes)))
}

// Close unbinds the queue and closes the socket, at once: answers already given are sent first, and what is still
// waiting is dropped by the kernel. A waiting Recv or Serve returns os.ErrClosed. When Close returns, the queue is free to be
// opened again. It never waits for a handler, and may be called more than once and by several goroutines: each call returns
// when the first has done the work. To lose nothing, remove the rule that feeds the queue and Drain it. A socket that came by
// Config.File is closed and not unbound: while another process has it open, packets wait for that process.
func (q *Queue) Close() error {
	if q.closed.Swap(true) {
		<-q.freed // what is done until then calls nothing of the program's
		return nil
	}
	defer close(q.freed)
	close(q.ended)
	q.guard.stop()
	q.conn.SetWriteDeadline(time.Now().Add(closePatience))
	flushErr := q.flush()
	q.sender.mu.Lock()
	var sendErr error
	if !q.adopted {
		var v nlsock.Vector
		v.Add(wire.AppendConfig(nil, wire.Config{Queue: q.cfg.Queue, Cmd: wire.CmdUnbind}, q.requests.next()))
		sendErr = q.conn.Send(&v)
	}
	closeErr := q.conn.Close()
	q.sender.mu.Unlock()
	// The descriptor goes when the last call on it returns. A reader has been woken, and runs nothing of the program's under
	// the lock.
	q.readMu.Lock()
	q.stash = nil
	q.readMu.Unlock()
	if q.table != nil {
		q.table.Close()
	}
	q.requests.fail(os.ErrClosed)
	for _, err := range []error{q.keptError(), flushErr, sendErr, closeErr} {
		if err != nil && !errors.Is(err, os.ErrClosed) && !gone(err) {
			return q.opError("close", err)
		}
	}
	return nil
}

// closePatience is how long Close waits for the other end of a socketpair to take the last answers. The kernel takes them
// at once.
const closePatience = 100 * time.Millisecond

// gone reports whether err says that the other end of a socketpair is no more.
func gone(err error) bool {
	return errors.Is(err, nlsock.EPIPE) || errors.Is(err, nlsock.ECONNRESET) || errors.Is(err, nlsock.ENOTCONN)
}

func (q *Queue) opError(op string, err error) error {
	if q.closed.Load() {
		err = os.ErrClosed
	}
	return &OpError{Op: op, Queue: q.cfg.Queue, Err: err}
}

// deadline is when a wait for packets ends. Everything that wants it to end sets it here and nowhere else: the socket's own
// deadline, set elsewhere, would undo another's wish.
type deadline struct {
	sync.Mutex
	program time.Time // of SetReadDeadline
	woken   bool      // Serve's context has ended, or Drain wants to read
	failed  bool      // answers could not be sent beside the receive loop, which is to return the error
	reader  time.Time // of a SetMode or Drain that reads itself, and minds nothing else
}

// past is a deadline that ends a wait at once.
var past = time.Unix(1, 0)

// setDeadline changes the deadline of a waiting and of later reads.
func (q *Queue) setDeadline(change func(d *deadline)) error {
	d := &q.deadline
	d.Lock()
	defer d.Unlock()
	change(d)
	at := d.program
	switch {
	case !d.reader.IsZero():
		at = d.reader
	case d.woken, d.failed:
		at = past
	}
	return q.conn.SetReadDeadline(at)
}

// SetReadDeadline bounds a waiting and later Recv and Serve, which return os.ErrDeadlineExceeded after it; the zero time
// means no bound.
func (q *Queue) SetReadDeadline(t time.Time) error {
	if err := q.setDeadline(func(d *deadline) { d.program = t }); err != nil {
		return q.opError("set read deadline of", err)
	}
	return nil
}
