package ipqueue

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// maxPrograms bounds the sockets of a handler.
const maxPrograms = 1024

// Handler takes the place of the kernel's ip_queue and ip6_queue modules. Its
// methods may be called from any goroutine.
type Handler struct {
	allow      func(Credentials) bool
	ipv4, ipv6 *family

	mu     sync.Mutex
	closed bool
	conns  map[*conn]bool
	wg     sync.WaitGroup
}

// Open takes the queues and begins to serve. Packets are dropped as long as no
// program has set a copy mode, as they were when the module was loaded and
// nobody used it. It needs CAP_NET_ADMIN over the network namespace.
func Open(config Config) (*Handler, error) {
	h := &Handler{allow: config.Allow, conns: map[*conn]bool{}}
	if h.allow == nil {
		h.allow = Root
	}
	maxLen := config.MaxLen
	if maxLen == 0 {
		maxLen = DefaultMaxLen
	}
	h.ipv4 = &family{handler: h, queue: config.Queue4, brain: newMachine[packetID](IPv4, maxLen), conns: map[*conn]bool{}}
	h.ipv6 = &family{handler: h, queue: config.Queue6, brain: newMachine[packetID](IPv6, maxLen), conns: map[*conn]bool{}}
	return h, nil
}

// Connect makes a socket for a program and returns the program's end of it: a
// blocking descriptor with which the program does what it did with a socket of
// NETLINK_FIREWALL or NETLINK_IP6_FW. The caller owns the file. There may be any
// number of them at a time, up to a thousand; the first to send a message that
// is allowed becomes the peer of its family, as in the kernel, until it is
// closed.
func (h *Handler) Connect(hello Hello) (*os.File, error) {
	return h.connect(hello, asker{})
}

func (h *Handler) connect(hello Hello, a asker) (*os.File, error) {
	if hello.WordSize == 0 {
		hello.WordSize = strconv.IntSize
	}
	if err := hello.check(); err != nil {
		return nil, fmt.Errorf("ipqueue: connect: %w", err)
	}
	f, layout := h.ipv4, wire.IPQ64
	if hello.Family == IPv6 {
		f = h.ipv6
	}
	if hello.WordSize == 32 {
		layout = wire.IPQ32
	}
	ours, theirs, err := newPair()
	if err != nil {
		return nil, fmt.Errorf("ipqueue: connect: %w", err)
	}
	program := os.NewFile(uintptr(theirs), "ip_queue")
	c, err := newConn(f, ours, layout, uint32(hello.PID), a)
	if err != nil {
		program.Close()
		return nil, fmt.Errorf("ipqueue: connect: %w", err)
	}
	if err := h.start(c); err != nil {
		c.file.Close()
		program.Close()
		return nil, fmt.Errorf("ipqueue: connect: %w", err)
	}
	return program, nil
}

var errTooMany = fmt.Errorf("%d programs are connected already: %w", maxPrograms, unix.EMFILE)

func (h *Handler) start(c *conn) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return os.ErrClosed
	}
	if len(h.conns) >= maxPrograms {
		return errTooMany
	}
	h.conns[c] = true
	c.family.add(c)
	h.wg.Go(func() {
		c.run()
		c.family.leave(c)
		h.mu.Lock()
		delete(h.conns, c)
		h.mu.Unlock()
	})
	return nil
}

// Status returns what the handler does.
func (h *Handler) Status() Status {
	return Status{IPv4: h.ipv4.status(), IPv6: h.ipv6.status()}
}

// Close ends all programs' sockets (they read an end of file), drops what waits
// for a verdict, and gives the queues back. It may be called twice.
func (h *Handler) Close() error {
	h.mu.Lock()
	h.closed = true
	var errs []error
	for c := range h.conns {
		errs = append(errs, c.file.Close())
	}
	h.mu.Unlock()
	h.wg.Wait()
	return errors.Join(errs...)
}
