//go:build linux

package trap

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A registration is a socket in an epoll set.
type registration struct {
	inode inode
	owner uint32 // effective user id of the thread that opened it
}

// An epollSet is an epoll set in which every injected socket is registered, under
// a key. The kernel lists what is registered, with its inode, in
// /proc/self/fdinfo, and reports a socket whose other end was closed. The set can
// be inherited: another process then sees the same registrations.
type epollSet struct {
	fd   int
	list *os.File // the kernel's; open all the time, so that reading it needs no descriptor
}

func newEpollSet() (*epollSet, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return openEpollSet(fd)
}

// openEpollSet takes a descriptor over, also when it fails.
func openEpollSet(fd int) (*epollSet, error) {
	list, err := os.Open("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &epollSet{fd, list}, nil
}

func (e *epollSet) Close() {
	e.list.Close()
	unix.Close(e.fd)
}

// add registers a socket. The set reports it once, when its other end is closed.
// The 64 bits that are the caller's are the key, and above it the owner.
func (e *epollSet) add(fd int, key int32, owner uint32) error {
	event := unix.EpollEvent{Events: unix.EPOLLONESHOT, Fd: key, Pad: int32(owner)} // EPOLLHUP needs no asking
	if err := unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// hungUp waits for sockets whose other end was closed, and returns their keys.
func (e *epollSet) hungUp() ([]int32, error) {
	var events [64]unix.EpollEvent
	for {
		n, err := unix.EpollWait(e.fd, events[:], -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("epoll_wait: %w", err)
		}
		keys := make([]int32, n)
		for i := range keys {
			keys[i] = events[i].Fd
		}
		return keys, nil
	}
}

// registered returns the sockets that are open, by key. One goroutine may call
// it at a time.
func (e *epollSet) registered() (map[int32]registration, error) {
	if _, err := e.list.Seek(0, 0); err != nil {
		return nil, err
	}
	sockets := make(map[int32]registration)
	lines := bufio.NewScanner(e.list)
	for lines.Scan() {
		key, r, ok, err := parseRegistration(lines.Text())
		if err != nil {
			return nil, err
		}
		if ok {
			sockets[key] = r
		}
	}
	return sockets, lines.Err()
}

// parseRegistration reads a line of the fdinfo of an epoll set; ok is false for
// the lines that are about the set itself:
//
//	tfd:        7 events: 40000018 data:      fffe00000002  pos:0 ino:3039 sdev:8
func parseRegistration(line string) (key int32, r registration, ok bool, err error) {
	if !strings.HasPrefix(line, "tfd:") {
		return 0, registration{}, false, nil
	}
	data, err1 := hexField(line, "data:")
	number, err2 := hexField(line, "ino:")
	return int32(data), registration{inode(number), uint32(data >> 32)}, true, errors.Join(err1, err2)
}

func hexField(line, name string) (uint64, error) {
	_, value, _ := strings.Cut(line, name)
	value, _, _ = strings.Cut(strings.TrimLeft(value, " "), " ")
	n, err := strconv.ParseUint(value, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("trap: %s in the fdinfo of an epoll set: %w", name, err)
	}
	return n, nil
}
