package ipqueue_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/ipqueue"
)

// deadSocket leaves a socket as a service does that is killed.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != strings.Join(want, " ") {
		t.Errorf("files in the directory: %q, want %q", got, want)
	}
}

// The socket has the permissions that it was given, whatever the umask is,
// replaces a dead one and nothing else, and goes with the service.
func TestListen(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	dir := t.TempDir()
	path := filepath.Join(dir, "ipq.sock")
	for range 2 { // first where nothing is, then in the place of a dead one
		l, err := ipqueue.Listen(path, 0o626, os.Getgid())
		if err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || st.Mode != unix.S_IFSOCK|0o626 || int(st.Gid) != os.Getgid() {
			t.Errorf("mode %o, group %d, %v", st.Mode, st.Gid, err)
		}
		wantFiles(t, dir, "ipq.sock")
		if _, err := ipqueue.Listen(path, 0o600, -1); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("listening twice: %v, want EADDRINUSE", err)
		}
		wantFiles(t, dir, "ipq.sock")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wantFiles(t, dir)
		if err := l.Close(); err != nil {
			t.Errorf("closing twice: %v", err)
		}
		deadSocket(t, path)
	}
	if _, err := ipqueue.Dial(path, ipqueue.Hello{Family: 2}); !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), path) {
		t.Errorf("dialling a dead socket: %v, want ECONNREFUSED", err)
	}
	if _, err := ipqueue.Dial(filepath.Join(dir, "none"), ipqueue.Hello{Family: 2}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dialling nothing: %v, want ErrNotExist", err)
	}
}

// What is no socket, a link to one included, is left as it is.
func TestListenReplacesSocketsOnly(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	target := filepath.Join(other, "target")
	deadSocket(t, target)
	precious := filepath.Join(other, "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ipq.sock")
	for _, test := range []struct {
		name string
		make func() error
		kind fs.FileMode
	}{
		{"a file", func() error { return os.Link(precious, path) }, 0},
		{"a directory", func() error { return os.Mkdir(path, 0o600) }, fs.ModeDir},
		{"a link to a socket", func() error { return os.Symlink(target, path) }, fs.ModeSymlink},
		{"a link to a file", func() error { return os.Symlink(precious, path) }, fs.ModeSymlink},
		{"a link to nothing", func() error { return os.Symlink(filepath.Join(other, "none"), path) }, fs.ModeSymlink},
	} {
		if err := test.make(); err != nil {
			t.Fatal(err)
		}
		if _, err := ipqueue.Listen(path, 0o666, os.Getgid()); !errors.Is(err, fs.ErrExist) {
			t.Errorf("in place of %s: %v, want ErrExist", test.name, err)
		}
		wantFiles(t, dir, "ipq.sock")
		if info, err := os.Lstat(path); err != nil || info.Mode().Type() != test.kind {
			t.Errorf("%s has become %v, %v", test.name, info.Mode(), err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	wantFiles(t, other, "precious", "target")
	if info, err := os.Lstat(precious); err != nil || info.Mode() != 0o600 {
		t.Errorf("the mode of the file is %v, %v", info.Mode(), err)
	}
	if info, err := os.Lstat(target); err != nil || info.Mode().Perm() == 0o666 {
		t.Errorf("the mode of the socket is %v, %v", info.Mode(), err)
	}
}

// Whoever writes to the directory all the same, as root of a container may that
// has it mounted, cannot have the permissions of something else changed.
func TestListenFollowsNothing(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	victim := filepath.Join(other, "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ipq.sock")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		link := filepath.Join(other, "link")
		for {
			select {
			case <-stop:
				return
			default:
			}
			os.Symlink(victim, link)
			names, _ := filepath.Glob(path + ".*")
			for _, name := range names {
				os.Rename(link, name)
			}
		}
	}()
	for range 500 {
		if l, err := ipqueue.Listen(path, 0o666, -1); err == nil {
			l.Close()
		}
		if list, err := os.ReadDir(dir); err == nil {
			for _, e := range list {
				os.Remove(filepath.Join(dir, e.Name()))
			}
		}
	}
	close(stop)
	<-stopped
	if info, err := os.Lstat(victim); err != nil || info.Mode() != 0o600 {
		t.Errorf("the mode of a file elsewhere is %v, %v", info.Mode(), err)
	}
}

// A service that ends leaves what has come into the place of its socket.
func TestListenerRemovesItsOwnSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ipq.sock")
	h := ipqueue.OpenIdle(ipqueue.Config{})
	defer h.Close()
	for _, replaced := range []bool{false, true} {
		l, err := ipqueue.Listen(path, 0o600, -1)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if replaced {
			if err := os.Rename(path, path+".moved"); err != nil {
				t.Fatal(err)
			}
			deadSocket(t, path)
			want = []string{"ipq.sock", "ipq.sock.moved"}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := h.Serve(ctx, l); err != nil {
			t.Error(err)
		}
		wantFiles(t, dir, want...)
		if err := l.Close(); (err != nil) != replaced {
			t.Errorf("replaced %t, and closing it: %v", replaced, err)
		}
	}
}

// Where others may write, they could put a socket of their own in its place.
func TestListenRefusesDirectoriesOfOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ipq.sock")
	for mode, refused := range map[uint32]bool{0o700: false, 0o755: false, 0o775: true, 0o757: true, 0o1777: true, 0o2770: true} {
		if err := unix.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		l, err := ipqueue.Listen(path, 0o600, -1)
		if errors.Is(err, fs.ErrPermission) != refused || refused && !strings.Contains(err.Error(), "others may write to the directory "+dir) {
			t.Errorf("in a directory of mode %04o: %v", mode, err)
		}
		if err == nil {
			l.Close()
		}
		wantFiles(t, dir)
	}
	for _, name := range []string{"none/ipq.sock", "/", "."} {
		if _, err := ipqueue.Listen(dir+"/"+name, 0o600, -1); err == nil {
			t.Errorf("listens at %s", name)
		}
	}
	sandbox.Require(t, "users", os.Geteuid() == 0 && mapped(65534), "the user namespace has one user only; run as root")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, 65534, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := ipqueue.Listen(path, 0o600, -1); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("in the directory of another user: %v", err)
	}
}
