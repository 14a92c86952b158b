//go:build linux

package trap

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A thread is one that waits in a caught call, by its id in our pid namespace.
// What its methods return may be about another thread, if it is gone meanwhile:
// ask listener.waiting afterwards.
type thread uint32

func (t thread) path(file string) string {
	return "/proc/" + strconv.FormatUint(uint64(t), 10) + "/" + file
}

// An inode tells an open socket from all others that are open, however it was
// duplicated or passed on.
type inode uint64

// socket returns the inode behind a descriptor of the thread; false when it is
// not a socket, or cannot be seen. The link is read and not followed: the
// program may have descriptors on file systems that never answer.
func (t thread) socket(fd int32) (inode, bool) {
	if fd < 0 {
		return 0, false
	}
	var b [64]byte
	n, err := unix.Readlink(t.path("fd/"+strconv.Itoa(int(fd))), b[:])
	if err != nil {
		return 0, false
	}
	return parseSocketLink(string(b[:n]))
}

// parseSocketLink reads what /proc/PID/fd has for a socket: "socket:[4711]".
// Whatever has a path begins with a slash.
func parseSocketLink(link string) (inode, bool) {
	rest, ok := strings.CutPrefix(link, "socket:[")
	number, ok2 := strings.CutSuffix(rest, "]")
	n, err := strconv.ParseUint(number, 10, 64)
	return inode(n), ok && ok2 && err == nil
}

// seen returns an error when the descriptors of the thread are hidden from us:
// their directory has an owner, and each link asks for the right to trace.
func (t thread) seen() error {
	d, err := os.Open(t.path("fd"))
	if err != nil {
		return err
	}
	d.Close()
	_, err = os.Readlink(t.path("exe")) // asks for the same right
	return err
}

// An identity is who a thread is to netlink, and to us.
type identity struct {
	pid      uint32 // getpid(), as the process itself sees it
	netAdmin bool   // CAP_NET_ADMIN is effective
	filters  int    // seccomp filters

	real, effective, saved uint32 // user ids
}

// maySignal reports whether a process with an effective user id may send signals to
// this one.
func (id identity) maySignal(effective uint32) bool {
	return effective == 0 || effective == id.real || effective == id.saved
}

func (t thread) identity() (identity, error) {
	b, err := os.ReadFile(t.path("status"))
	if err != nil {
		return identity{}, err
	}
	return parseStatus(b)
}

// parseStatus reads what identity needs from a /proc/PID/status file.
func parseStatus(b []byte) (id identity, err error) {
	for line := range bytes.Lines(b) {
		name, value, _ := strings.Cut(string(line), ":")
		values := strings.Fields(value)
		if len(values) == 0 {
			continue
		}
		last := values[len(values)-1]
		switch name {
		case "Tgid", "NStgid": // NStgid: one for each pid namespace, the innermost last
			n, err := strconv.ParseUint(last, 10, 31)
			if err != nil {
				return identity{}, fmt.Errorf("trap: %s in a status file: %w", name, err)
			}
			id.pid = uint32(n)
		case "Uid":
			if n, err := fmt.Sscan(value, &id.real, &id.effective, &id.saved); n != 3 {
				return identity{}, fmt.Errorf("trap: %s in a status file: %w", name, err)
			}
		case "CapEff":
			n, err := strconv.ParseUint(last, 16, 64)
			if err != nil {
				return identity{}, fmt.Errorf("trap: %s in a status file: %w", name, err)
			}
			id.netAdmin = n>>unix.CAP_NET_ADMIN&1 != 0
		case "Seccomp_filters":
			n, err := strconv.ParseUint(last, 10, 31)
			if err != nil {
				return identity{}, fmt.Errorf("trap: %s in a status file: %w", name, err)
			}
			id.filters = int(n)
		}
	}
	if id.pid == 0 {
		return identity{}, errors.New("trap: no Tgid in a status file")
	}
	return id, nil
}

// A memory is the address space of a thread. It stays that one even if the
// thread ends and its id is used again, so: open, ask listener.waiting, use.
type memory struct {
	mem  *os.File
	maps *os.File
}

// openMemory fails with an error that is fs.ErrPermission when the address
// space is hidden from us.
func openMemory(t thread) (*memory, error) {
	mem, err := os.OpenFile(t.path("mem"), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	maps, err := os.Open(t.path("maps"))
	if err != nil {
		mem.Close()
		return nil, err
	}
	return &memory{mem, maps}, nil
}

func (m *memory) Close() {
	m.mem.Close()
	m.maps.Close()
}

// read fills b from an address, or fails as the kernel would.
func (m *memory) read(address uint64, b []byte) unix.Errno {
	if int64(address) < 0 {
		return unix.EFAULT
	}
	if _, err := m.mem.ReadAt(b, int64(address)); err != nil {
		return unix.EFAULT
	}
	return 0
}

// write stores b at an address, or fails as the kernel would. Writing to this
// file ignores the protection of a page, so that is looked up first.
func (m *memory) write(address uint64, b []byte) unix.Errno {
	if len(b) == 0 {
		return 0
	}
	if int64(address) < 0 || !m.writable(address, address+uint64(len(b))) {
		return unix.EFAULT
	}
	if _, err := m.mem.WriteAt(b, int64(address)); err != nil {
		return unix.EFAULT
	}
	return 0
}

// writable tells whether every byte from start up to end is in a mapping that
// the program may write to.
func (m *memory) writable(start, end uint64) bool {
	if _, err := m.maps.Seek(0, 0); err != nil {
		return false
	}
	lines := bufio.NewScanner(m.maps)
	for start < end && lines.Scan() {
		from, to, permissions, ok := parseMapping(lines.Text())
		if ok && from <= start && start < to {
			if !strings.Contains(permissions, "w") {
				return false
			}
			start = to // mappings are listed in order, so a line is enough for each
		}
	}
	return start >= end
}

// parseMapping reads "7f12-7f34 rw-p ..." as /proc/PID/maps has it.
func parseMapping(line string) (from, to uint64, permissions string, ok bool) {
	addresses, rest, _ := strings.Cut(line, " ")
	a, b, ok := strings.Cut(addresses, "-")
	if !ok {
		return 0, 0, "", false
	}
	from, err1 := strconv.ParseUint(a, 16, 64)
	to, err2 := strconv.ParseUint(b, 16, 64)
	permissions, _, _ = strings.Cut(rest, " ")
	return from, to, permissions, err1 == nil && err2 == nil
}

func (m *memory) readInt32(address uint64) (int32, unix.Errno) {
	var b [4]byte
	errno := m.read(address, b[:])
	return int32(binary.NativeEndian.Uint32(b[:])), errno
}

func (m *memory) writeInt32(address uint64, v int32) unix.Errno {
	return m.write(address, binary.NativeEndian.AppendUint32(nil, uint32(v)))
}
