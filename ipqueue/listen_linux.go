package ipqueue

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Listener is the service's socket. Serve closes it; its methods may be called
// from any goroutine.
type Listener struct {
	socket *net.UnixListener
	dir    *os.File
	name   string
	node   node
	close  func() error
}

// node names an inode. That of a listening socket is not used again.
type node struct{ dev, ino uint64 }

// Listen makes the service's socket at path (DefaultSocket when empty), with the
// given permissions and group (-1 leaves the group). Nobody but root and the
// user of this process may have the right to write to its directory: whoever has
// could put another socket in its place. A socket that a service left behind
// when it was killed is replaced; one that is still served is not, and the error
// is EADDRINUSE, nor is anything else: ErrExist. It needs /proc.
func Listen(path string, mode fs.FileMode, gid int) (*Listener, error) {
	if path == "" {
		path = DefaultSocket
	}
	l, err := listen(path, mode, gid)
	if err != nil {
		return nil, fmt.Errorf("ipqueue: listening at %s: %w", path, err)
	}
	return l, nil
}

func listen(path string, mode fs.FileMode, gid int) (_ *Listener, err error) {
	parent, name := filepath.Split(path)
	if parent == "" {
		parent = "./"
	}
	if name == "" {
		return nil, fmt.Errorf("the path ends where a name should be: %w", unix.EINVAL)
	}
	dir, err := ownDirectory(parent)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			dir.Close()
		}
	}()
	dead, err := deadSocket(dir, name)
	if err != nil {
		return nil, err
	}
	// Made under another name, so that what is found at the path has the permissions
	// it should and is served, and that replacing a dead socket leaves no gap.
	made := fmt.Sprintf("%s.%08x", name, rand.Uint32())
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(socket), path)
	defer file.Close() // l has a copy
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: parent + made}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	n, err := permit(dir, made, mode, gid)
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(socket, 4096)) // lowered to net.core.somaxconn
	}
	var l net.Listener
	if err == nil {
		l, err = net.FileListener(file)
	}
	if err == nil {
		if err = place(dir, made, name, dead); err != nil {
			l.Close()
		}
	}
	if err != nil {
		_ = unlink(dir, made, n)
		return nil, err
	}
	ours := &Listener{socket: l.(*net.UnixListener), dir: dir, name: name, node: n}
	ours.close = sync.OnceValue(ours.end)
	return ours, nil
}

// Close removes the socket from its directory, unless another has taken its
// place, and ends Serve.
func (l *Listener) Close() error { return l.close() }

// end removes the name while the socket is still served: no other service takes
// a name from one that answers.
func (l *Listener) end() error {
	err := unlink(l.dir, l.name, l.node)
	return errors.Join(err, l.socket.Close(), l.dir.Close())
}

// ownDirectory opens a directory in which nobody but root and this process's
// user may make, replace or remove anything.
func ownDirectory(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		dir.Close()
		return nil, os.NewSyscallError("fstat", err)
	}
	// With an access control list the group's bits are the most that it grants.
	if owner := int(st.Uid); st.Mode&0o022 != 0 || owner != 0 && owner != os.Geteuid() {
		dir.Close()
		return nil, fmt.Errorf("others may write to the directory %s (user %d, mode %04o), and so replace the socket; use one like %s, of mode 0755: %w",
			path, owner, st.Mode&0o7777, filepath.Dir(DefaultSocket), fs.ErrPermission)
	}
	return dir, nil
}

// at opens what has a name in dir, without following it if it is a link.
func at(dir *os.File, name string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, st, &fs.PathError{Op: "open", Path: dir.Name() + name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, st, os.NewSyscallError("fstat", err)
	}
	return f, st, nil
}

// descriptor is a path to what is open, whatever has become of its name.
func descriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

func nodeOf(st unix.Stat_t) node { return node{uint64(st.Dev), st.Ino} }

// deadSocket returns the socket at name that nobody serves, the zero node when
// nothing is there.
func deadSocket(dir *os.File, name string) (node, error) {
	f, st, err := at(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return node{}, nil
	}
	if err != nil {
		return node{}, err
	}
	defer f.Close()
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return node{}, fmt.Errorf("something that is not a socket is there: %w", unix.EEXIST)
	}
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: descriptor(f), Net: "unixpacket"})
	if err == nil {
		c.Close()
		return node{}, fmt.Errorf("a service runs there already: %w", unix.EADDRINUSE)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return node{}, err
	}
	return nodeOf(st), nil
}

// permit gives a new socket its permissions, by a descriptor of it and before it
// listens: nothing else gets them, and nobody connects with others.
func permit(dir *os.File, made string, mode fs.FileMode, gid int) (node, error) {
	f, st, err := at(dir, made)
	if err != nil {
		return node{}, err
	}
	defer f.Close()
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return node{}, fmt.Errorf("something took the place of a new socket in %s: %w", dir.Name(), unix.EEXIST)
	}
	if gid >= 0 {
		if err := unix.Fchownat(int(f.Fd()), "", -1, gid, unix.AT_EMPTY_PATH); err != nil {
			return nodeOf(st), fmt.Errorf("give the socket to group %d: %w (this process needs to be a member; with systemd: SupplementaryGroups=)", gid, err)
		}
	}
	return nodeOf(st), os.Chmod(descriptor(f), mode)
}

// place gives the socket its name, in the place of a dead one or of nothing, and
// of nothing else that has come there meanwhile.
func place(dir *os.File, made, name string, dead node) error {
	fd := int(dir.Fd())
	flags := uint(unix.RENAME_NOREPLACE)
	if dead != (node{}) {
		flags = unix.RENAME_EXCHANGE
	}
	err := unix.Renameat2(fd, made, fd, name, flags)
	if err == unix.EINVAL || err == unix.ENOSYS { // this file system, or a kernel before 3.15, does not know the flags
		return os.NewSyscallError("renameat", unix.Renameat(fd, made, fd, name))
	}
	if err == nil && dead != (node{}) {
		if err = unlink(dir, made, dead); err != nil {
			_ = unix.Renameat2(fd, made, fd, name, flags) // back
			return err
		}
	}
	return os.NewSyscallError("renameat2", err)
}

// unlink removes a name if it is still that of the inode. The error is
// EADDRINUSE when it is another's; it is none when nothing is there.
func unlink(dir *os.File, name string, n node) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return os.NewSyscallError("fstatat", err)
	case nodeOf(st) != n:
		return fmt.Errorf("something else has taken the place of %s: %w", dir.Name()+name, unix.EADDRINUSE)
	}
	return os.NewSyscallError("unlinkat", unix.Unlinkat(int(dir.Fd()), name, 0))
}
