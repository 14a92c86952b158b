package ipq

import (
	"context"
	"errors"
	"fmt"
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
// With Config.Netns it looks at the path as often. When it names another namespace, as after the restart of a container, told
// is called with ErrNetnsReplaced and the queue is opened there: no packet would ever come from the old one, which the queue's
// own socket keeps alive. While the path is missing, the queue goes on where it is, because the namespace may be in use all
// the same; told is called once, with the error of the look (os.ErrNotExist). Once the queue has been open, a path that is
// missing is waited for.
//
// It returns ctx's error, or one that trying again cannot mend: os.ErrPermission, errors.ErrUnsupported, a bad field of c, and
// a Config.Netns that is missing from the start. Config.File is refused, because it cannot be opened again. Handlers keep their
// queue by Packet.Queue.
func Supervise(ctx context.Context, c Config, h Handler, told func(error)) error {
	if c.File != nil {
		c.File.Close()
		return &OpError{Op: "supervise", Queue: c.Queue, Err: errors.New("Config.File cannot be opened again: leave it nil")}
	}
	if err := c.check(); err != nil {
		return &OpError{Op: "open", Queue: c.Queue, Err: err}
	}
	if told == nil {
		told = func(error) {}
	}
	pause, lived := time.Duration(0), false
	for {
		began := time.Now()
		opened, err := superviseOnce(ctx, c, h, told)
		lived = lived || opened
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !opened && hopeless(err, lived):
			return err
		case opened && time.Since(began) > aliveEvery:
			pause = 0
		}
		told(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(max(2*pause, reopenAfter), reopenMost)
	}
}

// hopeless reports whether an error of Open would be the same again. lived says that the queue has been open before.
func hopeless(err error, lived bool) bool {
	switch {
	case errors.Is(err, ErrQueueBusy): // which may be a lack of permission as well
		return false
	case errors.Is(err, os.ErrNotExist): // the namespace
		return !lived
	}
	return errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported)
}

// superviseOnce is one life of the queue. opened says that it had one.
func superviseOnce(ctx context.Context, c Config, h Handler, told func(error)) (opened bool, err error) {
	q, err := Open(c)
	if err != nil {
		return false, err
	}
	defer q.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		q.watch(ctx, cancel, told)
	}()
	defer func() { cancel(nil); <-watched }() // so that told is not called later, nor twice at the same time
	err = q.Serve(ctx, h)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return true, err
}

// watch ends ctx when the kernel says that the queue is not ours, or when its namespace was replaced.
func (q *Queue) watch(ctx context.Context, end context.CancelCauseFunc, told func(error)) {
	missing := false // the namespace's path, at the last look
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch err := nlsock.CheckNetns(q.cfg.Netns, q.netns); {
		case errors.Is(err, ErrNetnsReplaced):
			end(q.opError("serve", err))
			return
		case err == nil:
			missing = false
		case !missing:
			missing = true
			told(q.opError("serve", fmt.Errorf("the queue goes on in the network namespace that was opened: %w", err)))
		}
		// It changes nothing, but is refused for a queue that is not bound, or not ours.
		err := q.request(wire.Config{Queue: q.cfg.Queue, Mask: uint32(FlagFailOpen), Flags: uint32(q.flags & FlagFailOpen)})
		if errors.Is(err, nlsock.ENODEV) || errors.Is(err, nlsock.EPERM) {
			end(q.opError("serve", ErrNotOwner))
			return
		}
	}
}
