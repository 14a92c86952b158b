//go:build linux

package trap

import "golang.org/x/sys/unix"

// What the tests of this package look at from outside.

func Filter() ([]unix.SockFilter, error) { return filter(abis) }

// Decode returns what a system call is taken for, and the word size.
func Decode(arch, nr uint32, args [6]uint64) (name string, word int) {
	c := decode(&notification{arch: arch, nr: nr, args: args})
	return [...]string{"other", "socket", "bind", "getsockname", "socketcall"}[c.name], c.word
}

func Wants(domain, kind, protocol uint64) bool {
	_, ok := call{args: [3]uint64{domain, kind, protocol}}.wants()
	return ok
}

func ParseAddress(b []byte) (port, groups uint32, errno unix.Errno) {
	a, errno := parseAddress(b)
	return a.port, a.groups, errno
}

func AppendAddress(b []byte, port, groups uint32) []byte {
	return appendAddress(b, address{port, groups})
}

// BindHidden is what a bind asks for when the memory of the thread is hidden.
func BindHidden(length uint64, pid uint32) (port uint32, errno unix.Errno) {
	a, errno := bindAddress(call{args: [3]uint64{3, 0x1000, length}}, nil, identity{pid: pid})
	return a.port, errno
}

func ParseStatus(b []byte) (pid uint32, netAdmin bool, err error) {
	id, err := parseStatus(b)
	return id.pid, id.netAdmin, err
}

var ParseMapping = parseMapping

func ParseSocketLink(link string) (uint64, bool) {
	i, ok := parseSocketLink(link)
	return uint64(i), ok
}

// NewSockets returns a set, with inodes looked up from descriptors.
func NewSockets() (*Sockets, error) {
	s, err := newSockets()
	return &Sockets{s}, err
}

type Sockets struct{ s *sockets }

func (s *Sockets) Close()                                   { s.s.Close() }
func (s *Sockets) Add(fd int, protocol int) (func(), error) { return s.s.add(fd, protocol, 0) }

// Busy tells whether a call is under way.
func (s *Sockets) Busy() bool {
	if !s.s.mu.TryLock() {
		return true
	}
	s.s.mu.Unlock()
	return false
}

func (s *Sockets) Size() int { return len(s.s.open) }
func (s *Sockets) Name(fd int, pid uint32) (port uint32, ok bool) {
	a, ok := s.s.name(inodeOf(fd), pid)
	return a.port, ok
}

func (s *Sockets) Bind(fd int, port, pid uint32) (unix.Errno, bool) {
	_, errno, ok := s.s.bind(inodeOf(fd), address{port: port}, pid)
	return errno, ok
}

func inodeOf(fd int) inode {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		panic(err)
	}
	return inode(st.Ino)
}
