package ipq

import (
	"errors"
	"fmt"

	"ipq/internal/nlsock"
)

// Errors that a program may want to tell apart, with errors.Is. A closed queue is os.ErrClosed, a deadline
// os.ErrDeadlineExceeded, missing privilege os.ErrPermission, and what the kernel or the system lacks
// errors.ErrUnsupported.
var (
	// ErrQueueBusy: another socket owns the queue. The text names its process where that can be found out.
	ErrQueueBusy = errors.New("the queue is owned by another socket")

	// ErrReading: Recv or Serve was called while another Recv or Serve runs.
	ErrReading = errors.New("another Recv or Serve is running on this queue")

	// ErrAnswered: the packet has been answered already, or it never came out of this queue.
	ErrAnswered = errors.New("the packet has been answered already")

	// ErrPacketGone: the kernel no longer had the packet when the verdict came: its queue was flushed (see Config.OnFlush), its
	// interface went down, or the queue was unbound.
	ErrPacketGone = errors.New("the packet was no longer in the queue")

	// ErrNotOwner: the kernel refused a verdict because this socket does not own the queue, or because the process has
	// given up CAP_NET_ADMIN. Supervise also reports it for a queue that the kernel has unbound.
	ErrNotOwner = errors.New("this socket may not answer for the queue")

	// ErrNetnsReplaced: the path of Config.Netns names another namespace than the one that was opened. See Supervise.
	ErrNetnsReplaced = nlsock.ErrNetnsReplaced

	// ErrInvalidVerdict: the value is none of the verdicts, or Hold where an answer is due.
	ErrInvalidVerdict = errors.New("invalid verdict")

	// ErrTruncated: the packet was copied in part, so its payload cannot be replaced. Open with a larger Config.Range.
	ErrTruncated = errors.New("the packet is truncated")

	// ErrGSO: the packet is a train of segments not yet cut (FlagGSO), so its payload cannot be replaced. Open without
	// FlagGSO.
	ErrGSO = errors.New("the packet is not yet segmented")

	// ErrChecksumInside: the packet is a tunnel's, of a packet whose checksum the kernel has left to the hardware (FlagGSO)
	// and which cannot be found in it, so its payload cannot be replaced: the kernel would no longer fill that checksum in.
	// Open without FlagGSO.
	ErrChecksumInside = errors.New("the packet carries another whose checksum is still to be filled in")

	// ErrTooLong: a replacement payload is over 65,531 bytes, the most the protocol can carry.
	ErrTooLong = errors.New("the payload is too long")

	// ErrNoConntrack: the packet came without its connection, whose mark can then not be set. The queue needs FlagConntrack
	// (Queue.Flags says whether it was granted: put it into Config.Require), and the packet must be tracked: conntrack is in
	// use in the namespace, the hook lies behind it (Prerouting and Output after priority -200), and no rule has exempted the
	// packet.
	ErrNoConntrack = errors.New("the packet came without its connection: it needs FlagConntrack, and a packet that is tracked")

	// ErrNoConnLabels: the packet came without a connection that can be labelled. The queue needs FlagConntrack, and the
	// kernel makes room for labels only in connections that begin while some rule of the namespace uses them ("ct label").
	ErrNoConnLabels = errors.New("the connection cannot be labelled: it needs FlagConntrack, and a rule that uses labels")

	// ErrHandlerTimeout: a handler took longer than Config.HandlerTimeout.
	ErrHandlerTimeout = errors.New("the handler took too long")

	// ErrHoldTimeout: a packet was held for longer than Config.HoldTimeout.
	ErrHoldTimeout = errors.New("the packet was held too long")

	// ErrTooManyHeld: more than Config.MaxHeld packets were held.
	ErrTooManyHeld = errors.New("too many packets are held")

	// ErrDrained: Drain answered the packet, or stopped Serve.
	ErrDrained = errors.New("the queue is being drained")

	errAbandoned = errors.New("Serve ended before the handler saw the packet")
)

// OpError is an error of an operation on a queue.
type OpError struct {
	Op    string // what was tried, for people: "open", "recv from", "set verdict", "set mode of"; match Err
	Queue uint16 // number of the queue
	Err   error
}

// Error says what failed, on which queue, and why.
func (e *OpError) Error() string { return fmt.Sprintf("%s queue %d: %v", e.Op, e.Queue, e.Err) }

// Unwrap returns Err.
func (e *OpError) Unwrap() error { return e.Err }

// PanicError is what Config.OnDefault gets when a handler panicked.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // of the goroutine that panicked, as runtime/debug.Stack formats it
}

// Error gives the value; the stack is a field.
func (e *PanicError) Error() string { return fmt.Sprintf("the handler panicked: %v", e.Value) }

// Unwrap returns Value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
