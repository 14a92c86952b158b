package ipqueue

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the connections that have not said what they want, of users but root.
const (
	maxAsking    = 16  // of each
	maxAskingAll = 256 // together: one person may have many user ids
)

// Serve hands sockets to the programs that ask for one at l, until ctx ends or
// the handler stops; it then closes l, and the socket is gone from its directory. It returns nil, or the error for which
// the handler stopped. Programs that have a socket keep it until the handler is
// closed.
func (h *Handler) Serve(ctx context.Context, l *Listener) error {
	defer l.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		select {
		case <-h.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	s := &service{handler: h, asking: map[uint32]int{}}
	for {
		c, err := l.socket.AcceptUnix()
		switch {
		case err == nil:
			s.welcome(c)
		case ctx.Err() != nil:
			select {
			case <-h.stopped:
				return h.cause
			default:
				return nil
			}
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
			time.Sleep(10 * time.Millisecond) // until somebody gives a descriptor back
		case errors.Is(err, unix.ECONNABORTED):
		default:
			return fmt.Errorf("ipqueue: serve: %w", err)
		}
	}
}

// service is one Serve.
type service struct {
	handler *Handler

	mu     sync.Mutex
	asking map[uint32]int // by user
	others int            // of users but root
}

// welcome answers a client in a goroutine of its own. A user who keeps many of
// them waiting is turned away, so that the others are not.
func (s *service) welcome(c *net.UnixConn) {
	a := peerOf(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.uid != 0 && (s.asking[a.uid] >= maxAsking || s.others >= maxAskingAll) {
		c.Close()
		return
	}
	s.count(a, 1)
	go func() {
		s.handler.greet(c, a)
		c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count(a, -1)
	}()
}

// count is called with s.mu held.
func (s *service) count(a asker, n int) {
	if s.asking[a.uid] += n; s.asking[a.uid] == 0 {
		delete(s.asking, a.uid)
	}
	if a.uid != 0 {
		s.others += n
	}
}

// greet answers one client of the service's socket.
func (h *Handler) greet(c *net.UnixConn, a asker) {
	if c.SetDeadline(time.Now().Add(serviceTimeout)) != nil {
		return
	}
	b := make([]byte, helloSize+1)
	n, err := c.Read(b)
	if err != nil {
		return
	}
	if inode, port, ok := parseBind(b[:n]); ok {
		now, err := h.bind(inode, port, a)
		respond(c, errnoOf(err), binary.NativeEndian.AppendUint32(nil, now), nil)
		return
	}
	hello, status, err := parseHello(b[:n])
	switch {
	case err != nil:
		respond(c, unix.EINVAL, nil, nil)
	case status:
		body, err := json.Marshal(h.Status())
		if err != nil {
			respond(c, unix.EIO, nil, nil)
			return
		}
		respond(c, 0, body, nil)
	default:
		program, err := h.connect(hello, a)
		if errors.Is(err, os.ErrClosed) {
			return // hung up, as on those who come later: it may come again when the service is back
		}
		if err != nil {
			respond(c, errnoOf(err), nil, nil)
			return
		}
		respond(c, 0, nil, program)
		program.Close()
	}
}

// errnoOf returns the errno that an error comes down to, 0 when it is nil.
func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	errno := unix.EIO
	errors.As(err, &errno)
	return errno
}

func respond(c *net.UnixConn, errno syscall.Errno, body []byte, file *os.File) {
	b := append([]byte(answerMagic), 0, 0, 0, 0)
	binary.NativeEndian.PutUint32(b[4:], uint32(errno))
	var oob []byte
	if file != nil {
		oob = unix.UnixRights(int(file.Fd()))
	}
	// A client that is gone, or does not read, has only itself to blame.
	_, _, _ = c.WriteMsgUnix(append(b, body...), oob, nil)
}

// peerOf asks the kernel who connected.
func peerOf(c *net.UnixConn) (a asker) {
	raw, err := c.SyscallConn()
	if err != nil {
		return a
	}
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return
		}
		a = asker{known: true, pid: cred.Pid, uid: cred.Uid, gid: cred.Gid, groups: peerGroups(int(fd))}
	})
	return a
}
