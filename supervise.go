package ipq

import (
	"context"
	"errors"
	"os"
	"time"

	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

// How long Supervise waits before it opens the queue again, and how often it asks whether the queue is still bound.
const (
	reopenAfter = 50 * time.Millisecond
	reopenMost  = 5 * time.Second
	aliveEvery  = time.Second
)

// Supervise opens a queue, serves it until ctx ends, and closes it. Where Open finds the queue busy, where Serve fails, or
// where the kernel no longer knows the queue as ours (it is asked once a second), told is called with the error, and the
// queue is opened again: at once, and then, until it has lived for a second, after pauses that grow from 50 ms to 5 s.
// What the queue held meanwhile, the kernel has dropped. told may be nil. A queue that the program closes or drains is
// opened again too: end ctx to stop.
//
// It returns ctx's error, or one that trying again cannot mend: os.ErrPermission, errors.ErrUnsupported, a bad field of c.
// Config.File is refused, because it cannot be opened again. Handlers keep their queue by Packet.Queue.
func Supervise(ctx context.Context, c Config, h Handler, told func(error)) error {
	if c.File != nil {
		c.File.Close()
		return &OpError{Op: "supervise", Queue: c.Queue, Err: errors.New("Config.File cannot be opened again: leave it nil")}
	}
	pause := time.Duration(0)
	for {
		began := time.Now()
		opened, err := superviseOnce(ctx, c, h)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !opened && !errors.Is(err, ErrQueueBusy) && hopeless(err):
			return err
		case opened && time.Since(began) > aliveEvery:
			pause = 0
		}
		if told != nil {
			told(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(max(2*pause, reopenAfter), reopenMost)
	}
}

// hopeless reports whether an error of Open would be the same again.
func hopeless(err error) bool {
	var errno interface{ Temporary() bool }
	return errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrNotExist) || !errors.As(err, &errno)
}

// superviseOnce is one life of the queue. opened says that it had one.
func superviseOnce(ctx context.Context, c Config, h Handler) (opened bool, err error) {
	q, err := Open(c)
	if err != nil {
		return false, err
	}
	defer q.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go q.watch(ctx, cancel)
	err = q.Serve(ctx, h)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return true, err
}

// watch ends ctx when the kernel says that the queue is not ours.
func (q *Queue) watch(ctx context.Context, end context.CancelCauseFunc) {
	for tick := time.NewTicker(aliveEvery); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		// It changes nothing, but is refused for a queue that is not bound, or not ours.
		err := q.request(wire.Config{Queue: q.cfg.Queue, Mask: uint32(FlagFailOpen), Flags: uint32(q.flags & FlagFailOpen)})
		if errors.Is(err, nlsock.ENODEV) || errors.Is(err, nlsock.EPERM) {
			end(q.opError("serve", ErrNotOwner))
		}
	}
}
