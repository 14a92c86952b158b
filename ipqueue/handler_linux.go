package ipqueue

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/wire"
)

const (
	maxPrograms  = 1024 // sockets of a handler
	maxStrangers = 256  // of them, of processes that Allow refuses
)

// Handler takes the place of the kernel's ip_queue and ip6_queue modules. Its
// methods may be called from any goroutine.
type Handler struct {
	allow      func(Credentials) bool
	ipv4, ipv6 *family
	feeds      []*feed
	devices    *deviceTable
	inboxes    *inboxes
	links      *linkWatcher
	running    sync.WaitGroup // feeds and the link watcher

	mu        sync.Mutex
	conns     map[*conn]bool
	strangers int
	programs  sync.WaitGroup
	closing   bool
	cause     error         // why the handler stopped by itself
	stopped   chan struct{} // closed when everything has ended
}

// Open takes the queues, in the network namespace of the caller, and begins to
// serve. Packets are dropped until a program sets a copy mode, as they were when
// the module was loaded and nobody used it. It needs CAP_NET_ADMIN over the
// namespace. Requires at least Linux 3.8.
func Open(config Config) (*Handler, error) {
	h := newHandler(config)
	if err := h.open(); err != nil {
		h.closeSources()
		return nil, err
	}
	for _, f := range h.feeds {
		h.running.Go(func() { h.feedEnded(f.run()) })
	}
	h.running.Go(h.links.run)
	return h, nil
}

// newHandler makes a handler that no packets come to.
func newHandler(config Config) *Handler {
	maxLen := config.MaxLen
	if maxLen == 0 {
		maxLen = DefaultMaxLen
	}
	h := &Handler{
		allow:   config.Allow,
		ipv4:    newFamily(IPv4, config.Queue4, maxLen),
		ipv6:    newFamily(IPv6, config.Queue6, maxLen),
		inboxes: newInboxes(),
		conns:   map[*conn]bool{},
		stopped: make(chan struct{}),
	}
	if h.allow == nil {
		h.allow = Root
	}
	return h
}

func (h *Handler) open() (err error) {
	if h.devices, err = openDevices(); err != nil {
		return fmt.Errorf("ipqueue: %w", err)
	}
	if h.links, err = openLinks(); err != nil {
		return fmt.Errorf("ipqueue: %w", err)
	}
	h.links.changed = h.linkChanged
	h.links.missed = h.devices.forgetAll
	held := uint32(min(2*uint64(h.ipv4.brain.maxLen), 1<<31)) // of both families
	f, err := openFeed(h, h.ipv4.queue, held)
	if err != nil {
		return err
	}
	h.feeds = append(h.feeds, f)
	if h.ipv6.queue != h.ipv4.queue {
		if f, err = openFeed(h, h.ipv6.queue, held); err != nil {
			return err
		}
		h.feeds = append(h.feeds, f)
	}
	return nil
}

func (h *Handler) closeSources() {
	for _, f := range h.feeds {
		f.queue.Close()
	}
	if h.links != nil {
		h.links.close()
	}
	h.running.Wait()
	if h.devices != nil {
		h.devices.close()
	}
}

// Connect makes a socket for a program and returns the program's end of it: a
// blocking descriptor with which the program does what it did with a socket of
// NETLINK_FIREWALL or NETLINK_IP6_FW. The caller owns the file. There may be
// many of them at a time, up to 1,024, beyond which the error is EMFILE; the first
// to send a message that is allowed becomes the peer of its family, until it is
// closed.
func (h *Handler) Connect(hello Hello) (*os.File, error) {
	program, err := h.connect(hello, asker{})
	if err != nil {
		return nil, fmt.Errorf("ipqueue: connect: %w", err)
	}
	return program, nil
}

func (h *Handler) connect(hello Hello, a asker) (*os.File, error) {
	if hello.WordSize == 0 {
		hello.WordSize = strconv.IntSize
	}
	if err := hello.check(); err != nil {
		return nil, err
	}
	layout := wire.IPQ64
	if hello.WordSize == 32 {
		layout = wire.IPQ32
	}
	// A port is bound once. Who asks for a socket for another process, as the
	// supervisor of "ipq run" does, answers for that process's ports.
	family := h.family(ipq.Family(hello.Family))
	if a.known && hello.PID != 0 && int(a.pid) == hello.PID && family.bound(a) {
		return nil, unix.EADDRINUSE
	}
	ours, theirs, err := newPair()
	if err != nil {
		return nil, err
	}
	program := os.NewFile(uintptr(theirs), "ip_queue")
	c, err := newConn(h, family, ours, layout, uint32(hello.PID), a)
	if err != nil {
		program.Close()
		return nil, err
	}
	if c.inode, err = inodeOf(program); err != nil {
		c.file.Close()
		program.Close()
		return nil, err
	}
	if err := h.start(c); err != nil {
		c.file.Close()
		program.Close()
		return nil, err
	}
	return program, nil
}

// family returns the handler of a family, nil when it is none of the two.
func (h *Handler) family(number ipq.Family) *family {
	switch uint8(number) {
	case IPv4:
		return h.ipv4
	case IPv6:
		return h.ipv6
	}
	return nil
}

var errTooMany = fmt.Errorf("too many programs are connected: %w", unix.EMFILE)

func (h *Handler) start(c *conn) error {
	a := c.asker
	stranger := a.known && !h.allow(Credentials{UID: a.uid, GID: a.gid, Groups: a.groups})
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closing:
		return os.ErrClosed
	case len(h.conns) >= maxPrograms, stranger && h.strangers >= maxStrangers:
		return errTooMany
	}
	h.conns[c] = true
	c.stranger = stranger
	if stranger {
		h.strangers++
	}
	c.family.add(c)
	h.programs.Go(func() {
		c.run()
		c.family.leave(c)
		c.progress.left.Store(true)
		c.progress.hasMoved()
		c.file.Close()
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.conns, c)
		if stranger {
			h.strangers--
		}
	})
	return nil
}

func (h *Handler) linkChanged(index uint32, down bool) {
	h.devices.forget(index)
	if down {
		h.ipv4.linkDown(index)
		h.ipv6.linkDown(index)
	}
}

// settle returns when every packet that has been offered to a family has been
// sent to its peer.
func (h *Handler) settle() {
	for _, f := range h.feeds {
		f.settle()
	}
}

// refused hears from the receive loop of a verdict that the kernel did not take.
func (h *Handler) refused(k packetID, err error) {
	if errors.Is(err, ipq.ErrPacketGone) && !h.ipv4.vanished(k) {
		h.ipv6.vanished(k)
	}
}

// Status returns what the handler does.
func (h *Handler) Status() Status {
	return Status{IPv4: h.ipv4.status(), IPv6: h.ipv6.status()}
}

// feedEnded stops the handler when a queue fails.
func (h *Handler) feedEnded(err error) {
	if !errors.Is(err, os.ErrClosed) {
		go h.stop(err)
	}
}

// Close ends all programs' sockets (they read an end of file), drops what waits
// for a verdict, and gives the queues back. It may be called more than once.
func (h *Handler) Close() error {
	h.stop(nil)
	return nil
}

// Wait waits until the handler has stopped. It returns nil after Close, or the
// error for which a queue could no longer be read.
func (h *Handler) Wait() error {
	<-h.stopped
	return h.cause
}

func (h *Handler) stop(cause error) {
	h.mu.Lock()
	first := !h.closing
	h.closing = true
	if first {
		h.cause = cause
	}
	for c := range h.conns {
		c.file.Close()
	}
	h.mu.Unlock()
	if !first {
		<-h.stopped
		return
	}
	h.programs.Wait()
	h.closeSources()
	close(h.stopped)
}
