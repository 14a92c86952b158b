package ipqueue

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listen makes the service's socket at path (DefaultSocket when empty), with the
// given permissions and group (-1 leaves the group). A socket that a service
// left behind when it was killed is replaced; one that is still served is not,
// and the error is EADDRINUSE.
func Listen(path string, mode fs.FileMode, gid int) (*net.UnixListener, error) {
	if path == "" {
		path = DefaultSocket
	}
	fail := func(err error) (*net.UnixListener, error) {
		return nil, fmt.Errorf("ipqueue: listening at %s: %w", path, err)
	}
	if err := vacant(path); err != nil {
		return fail(err)
	}
	// Made under another name and renamed, so that it never has other permissions
	// than it should, and that replacing an old one leaves no gap.
	made := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: made, Net: "unixpacket"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	if err := place(made, path, mode, gid); err != nil {
		l.Close()
		os.Remove(made)
		return fail(err)
	}
	return l, nil
}

func place(made, path string, mode fs.FileMode, gid int) error {
	if gid >= 0 {
		if err := os.Chown(made, -1, gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(made, mode); err != nil {
		return err
	}
	return os.Rename(made, path)
}

// vacant fails when something other than a dead socket is at path.
func vacant(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("something that is not a socket is there: %w", unix.EEXIST)
	}
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err == nil {
		c.Close()
		return fmt.Errorf("a service runs there already: %w", unix.EADDRINUSE)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return nil
}

// maxAsking bounds the clients that are connected and have not been answered.
const maxAsking = 64

// Serve hands sockets to the programs that ask for one at l, until ctx ends or
// the handler is closed; it then closes l and returns nil. Programs that have
// theirs keep it.
func (h *Handler) Serve(ctx context.Context, l *net.UnixListener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	asking := make(chan struct{}, maxAsking)
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil || h.isClosed() {
				return nil
			}
			if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ECONNABORTED) {
				time.Sleep(10 * time.Millisecond) // out of descriptors: a program will give one back
				continue
			}
			return fmt.Errorf("ipqueue: serve: %w", err)
		}
		asking <- struct{}{}
		go func() {
			defer func() { <-asking }()
			defer c.Close()
			h.greet(c)
		}()
	}
}

func (h *Handler) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// greet answers one client of the service's socket.
func (h *Handler) greet(c *net.UnixConn) {
	if c.SetDeadline(time.Now().Add(serviceTimeout)) != nil {
		return
	}
	b := make([]byte, helloSize+1)
	n, err := c.Read(b)
	if err != nil {
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
		program, err := h.connect(hello, peerOf(c))
		if err != nil {
			errno := unix.EIO
			errors.As(err, &errno)
			respond(c, errno, nil, nil)
			return
		}
		respond(c, 0, nil, program)
		program.Close()
	}
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
		a = asker{known: true, uid: cred.Uid, groups: peerGroups(int(fd))}
	})
	return a
}
