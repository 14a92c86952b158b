package ipqueue

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel did what a program asked for while it asked: when send or close
// returned, it was done. Here it waits in the program's socket until the
// program's goroutine comes to it. Where that makes a difference, the handler
// lets it come to it first: "set the mode, then ping" must show the ping in that
// mode, and "close, open again" must find the slot free.

// orderPatience bounds such a wait, so that nothing hangs if a goroutine does.
const orderPatience = time.Second

// progress tells how far a program's goroutine is.
type progress struct {
	fence atomic.Bool // it waits for the feed, which therefore must not wait for it
	left  atomic.Bool // it has seen the end of file, and done what that asks for

	served atomic.Uint64 // bytes of datagrams, ever

	mu       sync.Mutex       // held while the goroutine receives, so that received and the socket agree
	received uint64           // bytes, ever
	look     func(fd uintptr) // sets what follows; made once
	unread   uint64           // bytes that the socket holds
	closed   bool             // the program has closed its last descriptor, or shut its end down

	waiting  atomic.Int32 // how many wait for moved, so that it costs nothing when none does
	moved    sync.Cond    // L is mu
	patience *time.Timer  // bounds the waits; made once
	ended    int          // how often it has ended them
}

func (p *progress) init() {
	p.moved.L = &p.mu
	p.patience = time.AfterFunc(orderPatience, p.giveUp)
	p.patience.Stop()
	p.look = func(fd uintptr) {
		events := pollNow(fd, unix.POLLIN|unix.POLLRDHUP)
		p.closed = events&(unix.POLLHUP|unix.POLLRDHUP) != 0
		if events&unix.POLLIN != 0 {
			p.unread = readable(fd)
		}
	}
}

// sent tells how many bytes the program has ever sent, and whether it has closed
// its socket since.
func (c *conn) sent() (bytes uint64, closed bool) {
	p := &c.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread, p.closed = 0, false
	_ = c.raw.Control(p.look) // fails when the handler has closed the socket: nothing will be served
	return p.received + p.unread, p.closed
}

// catchUp returns when everything has been served that the program had sent.
func (c *conn) catchUp() {
	bytes, closed := c.sent()
	p := &c.progress
	p.await(func() bool { return p.left.Load() || p.fence.Load() || !closed && p.served.Load() >= bytes })
}

// await waits until the goroutine has come to where done is true.
func (p *progress) await(done func() bool) {
	if done() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.Add(1) // before done is asked again
	p.patience.Reset(orderPatience)
	for ends := p.ended; !done() && p.ended == ends; {
		p.moved.Wait()
	}
	if p.waiting.Add(-1) == 0 {
		p.patience.Stop()
	}
}

// giveUp ends the waits.
func (p *progress) giveUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended++
	p.moved.Broadcast()
}

// hasMoved lets those go on who wait for what has just changed.
func (p *progress) hasMoved() {
	if p.waiting.Load() > 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.moved.Broadcast()
	}
}

// closed reports whether the program has closed its last descriptor.
func (c *conn) closed() bool {
	if c.progress.left.Load() {
		return true
	}
	_, closed := c.sent()
	return closed || c.progress.left.Load()
}

// pollNow returns what poll(2) reports without waiting.
func pollNow(fd uintptr, events int16) int16 {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		if _, err := unix.Poll(p[:], 0); err != unix.EINTR {
			return p[0].Revents
		}
	}
}

// await waits for what will soon be so.
func await(done func() bool) {
	for deadline := time.Now().Add(orderPatience); !done() && time.Now().Before(deadline); {
		time.Sleep(20 * time.Microsecond)
	}
}

// catchUp returns when everything has been served that may change what becomes
// of the next packet: what the peer had sent, or all programs when there is none.
func (f *family) catchUp() {
	f.mu.Lock()
	peer := f.peer
	f.mu.Unlock()
	if peer != nil {
		peer.catchUp()
		if !peer.progress.left.Load() {
			return
		}
	}
	f.mu.Lock()
	conns := make([]*conn, 0, len(f.conns))
	for c := range f.conns {
		if !c.stranger {
			conns = append(conns, c)
		}
	}
	f.mu.Unlock()
	for _, c := range conns {
		c.catchUp()
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

// bound reports whether a process has an open socket of the family that it asked
// for itself, and so the port. Who names the port of another process takes
// nothing from it.
func (f *family) bound(a asker) bool {
	f.mu.Lock()
	var with []*conn
	for c := range f.conns {
		if c.asker.known && c.asker.pid == a.pid && c.asker.uid == a.uid && c.port.Load() == uint32(a.pid) {
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
