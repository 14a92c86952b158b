package ipqueue

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel did what a program asked for while it asked: when send or close
// returned, it was done. Here it waits in the program's socket until the
// program's goroutine comes to it. Where that makes a difference, the handler
// lets it come to it first: "set the mode, then ping" must not lose the ping,
// and "close, open again" must find the slot free.

// orderPatience bounds such a wait, so that nothing hangs if a goroutine does.
const orderPatience = time.Second

// progress tells how far a program's goroutine is.
type progress struct {
	turns atomic.Uint64 // odd while it may hold datagrams that it has not served
	fence atomic.Bool   // it waits for the feed, which therefore must not wait for it
	left  atomic.Bool   // it has seen the end of file, and done what that asks for
}

// ready reports whether there is something to read, a hang-up included, or with
// unix.POLLHUP whether the program has closed its last descriptor.
func (c *conn) ready(event int16) bool {
	var p [1]unix.PollFd
	err := c.raw.Control(func(fd uintptr) {
		p[0] = unix.PollFd{Fd: int32(fd), Events: event & unix.POLLIN}
		for {
			if _, err := unix.Poll(p[:], 0); err != unix.EINTR {
				return
			}
		}
	})
	return err == nil && p[0].Revents&event != 0
}

// caughtUp reports whether everything has been served that the program had sent
// when turns was the number of turns.
func (c *conn) caughtUp(turns uint64) bool {
	now := c.progress.turns.Load()
	if c.progress.left.Load() || c.progress.fence.Load() || now >= turns+4 { // a whole turn lies between
		return true
	}
	return now%2 == 0 && !c.ready(unix.POLLIN) && c.progress.turns.Load() == now
}

// closed reports whether the program has closed its last descriptor.
func (c *conn) closed() bool {
	return c.progress.left.Load() || c.ready(unix.POLLHUP) || c.progress.left.Load()
}

// await waits for what will soon be so.
func await(done func() bool) {
	for deadline := time.Now().Add(orderPatience); !done() && time.Now().Before(deadline); {
		time.Sleep(20 * time.Microsecond)
	}
}

// catchUp returns when everything has been served that programs had sent.
func (f *family) catchUp() {
	f.mu.Lock()
	conns := make([]*conn, 0, len(f.conns))
	for c := range f.conns {
		if !c.stranger {
			conns = append(conns, c)
		}
	}
	f.mu.Unlock()
	for _, c := range conns {
		turns := c.progress.turns.Load()
		await(func() bool { return c.caughtUp(turns) })
	}
}

// settleDeparture lets the peer leave, if its socket has been closed, before the
// program of c is heard.
func (f *family) settleDeparture(c *conn) {
	f.mu.Lock()
	peer := f.peer
	f.mu.Unlock()
	if peer != nil && peer != c && peer.closed() {
		await(peer.progress.left.Load)
	}
}

// bound reports whether an open socket of the family has the port.
func (f *family) bound(port uint32) bool {
	f.mu.Lock()
	var with []*conn
	for c := range f.conns {
		if c.port.Load() == port {
			with = append(with, c)
		}
	}
	f.mu.Unlock()
	for _, c := range with {
		if !c.closed() {
			return true
		}
		await(c.progress.left.Load)
	}
	return false
}
