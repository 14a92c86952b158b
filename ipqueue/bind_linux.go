package ipqueue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// Bind gives a socket that Connect made, and whose inode is given, a port, as
// bind(2) of the program would, and returns the port that it has now: another one
// when it had that before. The error is EADDRINUSE when another socket of its
// family has the port, and ENOENT when there is no such socket any more. A socket
// that was made with PID 0 and is never bound gets a port with the first message.
func (h *Handler) Bind(inode uint32, port uint32) (uint32, error) {
	now, err := h.bind(inode, port, asker{})
	if err != nil {
		err = fmt.Errorf("ipqueue: bind: %w", err)
	}
	return now, err
}

// bind refuses everyone but the process that asked for the socket.
func (h *Handler) bind(inode, port uint32, a asker) (uint32, error) {
	h.mu.Lock()
	var c *conn
	for other := range h.conns {
		if other.inode == inode {
			c = other
		}
	}
	h.mu.Unlock()
	switch {
	case c == nil:
		return 0, unix.ENOENT
	case c.asker.known != a.known || c.asker.pid != a.pid || c.asker.uid != a.uid:
		return 0, unix.EPERM
	case c.port.Load() == 0 && c.family.taken(port, c):
		return 0, unix.EADDRINUSE
	}
	c.port.CompareAndSwap(0, port)
	return c.port.Load(), nil
}

// DialBind does what Handler.Bind does for a socket that this process got by
// Dial from the service at path (DefaultSocket when empty).
func DialBind(path string, inode, port uint32) (uint32, error) {
	request := append([]byte(bindMagic), helloVersion, 0, 0, 0)
	request = binary.NativeEndian.AppendUint32(request, port)
	body, file, err := ask(path, binary.NativeEndian.AppendUint32(request, inode), 4)
	if file != nil {
		file.Close()
	}
	if err != nil {
		return 0, err
	}
	if len(body) != 4 {
		return 0, errors.New("ipqueue: the service answered without a port")
	}
	return binary.NativeEndian.Uint32(body), nil
}

// inodeOf returns the number of a socket, which tells it from all that are open.
func inodeOf(f *os.File) (uint32, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	if e := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &st) }); e != nil {
		return 0, e
	}
	if err == nil && st.Ino > math.MaxUint32 { // the kernel counts them in an unsigned int
		err = unix.EOVERFLOW
	}
	return uint32(st.Ino), err
}

// firstPort is the first that netlink_autobind tried when the process id was
// taken; the others are below.
const firstPort = math.MaxUint32 - 4096

// autobind gives a socket a port that has none when it sends, as netlink_autobind
// of Linux 3.4 did: the process id, which the program's message names (in a pid
// namespace it is not that of the sender), or one that no process can have.
func (c *conn) autobind(message []byte, sender int32) {
	if h, err := wire.DecodeIPQHeader(message); err == nil && int32(h.PID) > 0 && c.take(h.PID) {
		return
	}
	if sender > 0 && c.take(uint32(sender)) {
		return
	}
	for port := uint32(firstPort); !c.take(port); port-- {
	}
}

// take gives the socket a port if that is free. A port that Bind gives it in the
// same moment is kept.
func (c *conn) take(port uint32) bool {
	if c.family.taken(port, c) {
		return false
	}
	c.port.CompareAndSwap(0, port)
	return true
}

// taken reports whether another open socket of the family has the port. Those of
// processes that may not use the handler do not count.
func (f *family) taken(port uint32, but *conn) bool {
	f.mu.Lock()
	var with []*conn
	for c := range f.conns {
		if c != but && !c.stranger && c.port.Load() == port {
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
