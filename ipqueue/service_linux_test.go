package ipqueue_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/ipqueue"
	"ipq/rules"
)

// serve serves a handler at a socket for the length of the test.
func serve(t *testing.T, h *ipqueue.Handler, mode fs.FileMode) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ipq.sock")
	serveAt(t, h, path, mode, -1)
	return path
}

// servePublic serves where every user comes.
func servePublic(t *testing.T, h *ipqueue.Handler) (path string) {
	t.Helper()
	path = filepath.Join(publicDir(t), "ipq.sock")
	serveAt(t, h, path, 0o666, -1)
	return path
}

func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ipqueue")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func serveAt(t *testing.T, h *ipqueue.Handler, path string, mode fs.FileMode, gid int) {
	t.Helper()
	l, err := ipqueue.Listen(path, mode, gid)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func dial(t *testing.T, path string, family uint8, layout wire.IPQLayout, port uint32) *program {
	t.Helper()
	f, err := ipqueue.Dial(path, ipqueue.Hello{Family: family, WordSize: wordSize(layout), PID: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	return newProgram(t, f, layout, port)
}

// A program asks the service, from another network namespace than the service's,
// and is served as one that was connected directly.
func TestService(t *testing.T) {
	netw := sandbox.Setup(t, 1)
	h := open(t, ipqueue.Config{})
	path := serve(t, h, 0o600)
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	for _, layout := range layouts {
		var p *program
		if err := netw.Hosts[0].Do(func() error {
			p = dial(t, path, ipqueue.IPv4, layout, 700)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if flags, err := unix.FcntlInt(uintptr(p.fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags of the descriptor: %#x, %v", flags, err)
		}
		p.setMode(wire.IPQCopyPacket, 20)
		n.send(t, "7001", 10)
		m, payload := p.wantPacket()
		if len(payload) != 20 {
			t.Errorf("%d bytes of payload", len(payload))
		}
		s, err := ipqueue.ReadStatus(path)
		if err != nil {
			t.Fatal(err)
		}
		if s != h.Status() || s.IPv4.PeerPID != 700 || s.IPv4.Length != 1 || s.IPv4.Programs != 1 || s.IPv4.CopyRange != 20 {
			t.Errorf("status %+v", s)
		}
		p.verdict(m.ID, wire.IPQVerdictAccept, nil)
		if got := n.arrived(t, patience); got != 10 {
			t.Errorf("%d bytes arrived", got)
		}
		p.close()
		await(t, h, ipqueue.IPv4, "the program has left", func(s ipqueue.FamilyStatus) bool { return s.Programs == 0 })
	}
}

// Every request that is not a hello is answered with EINVAL, and nothing is left
// of it.
func TestServiceRefusesGarbage(t *testing.T) {
	h := open(t, ipqueue.Config{})
	path := serve(t, h, 0o600)
	good := []byte("ipqh\x01\x02\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, test := range []struct {
		name  string
		bytes []byte
		errno unix.Errno
	}{
		{"a hello", good, 0},
		{"empty", nil, 0},
		{"short", good[:15], unix.EINVAL},
		{"long", append(good[:16:16], 0), unix.EINVAL},
		{"magic", []byte("ipqx\x01\x02\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00"), unix.EINVAL},
		{"version", []byte("ipqh\x02\x02\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00"), unix.EINVAL},
		{"family", []byte("ipqh\x01\x07\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00"), unix.EINVAL},
		{"word size", []byte("ipqh\x01\x02\x41\x00\x00\x00\x00\x00\x00\x00\x00\x00"), unix.EINVAL},
		{"byte 7", []byte("ipqh\x01\x02\x40\x01\x00\x00\x00\x00\x00\x00\x00\x00"), unix.EINVAL},
		{"tail", []byte("ipqh\x01\x02\x40\x00\x00\x00\x00\x00\x00\x00\x00\x01"), unix.EINVAL},
		{"pid", []byte("ipqh\x01\x02\x40\x00\xff\xff\xff\xff\x00\x00\x00\x00"), unix.EINVAL},
	} {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		if len(test.bytes) > 0 {
			if _, err := c.Write(test.bytes); err != nil {
				t.Fatal(err)
			}
		} else {
			c.CloseWrite()
		}
		b, oob := make([]byte, 100), make([]byte, 100)
		n, oobn, _, _, err := c.ReadMsgUnix(b, oob)
		switch {
		case len(test.bytes) == 0:
			if n != 0 {
				t.Errorf("%s: %x", test.name, b[:n])
			}
		case err != nil || n != 8 || string(b[:4]) != "ipqa" || unix.Errno(binary.NativeEndian.Uint32(b[4:])) != test.errno || (oobn > 0) != (test.errno == 0):
			t.Errorf("%s: answered %x, %d bytes beside it, %v", test.name, b[:n], oobn, err)
		}
		if oobn > 0 {
			messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
			fds, _ := unix.ParseUnixRights(&messages[0])
			unix.Close(fds[0])
		}
		c.Close()
	}
	await(t, h, ipqueue.IPv4, "nobody is connected", func(s ipqueue.FamilyStatus) bool { return s.Programs == 0 })
}

// The file system decides who may connect: by the socket's owner, group and mode.
func TestSocketPermissions(t *testing.T) {
	h := open(t, ipqueue.Config{})
	sandbox.Require(t, "users", mapped(65534) && mapped(4242), "the user namespace has one user only; run as root")
	path := filepath.Join(publicDir(t), "ipq.sock")
	serveAt(t, h, path, 0o660, 4242)
	for _, test := range []struct {
		name   string
		uid    int
		groups []uint32
		want   error
	}{
		{"the owner", 0, nil, nil},
		{"a member of the group", 65534, []uint32{4242}, nil},
		{"somebody else", 65534, nil, unix.EACCES},
	} {
		dialed := make(chan error)
		go asUser(0, func() { // a thread to throw away
			setGroups(t, test.groups)
			asUser(test.uid, func() {
				f, err := ipqueue.Dial(path, ipqueue.Hello{Family: ipqueue.IPv4})
				if err == nil {
					f.Close()
				}
				dialed <- err
			})
		})
		if err := <-dialed; !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// The socket's directory may be mounted elsewhere, read-only, as in a container
// with a network of its own; there a service that was started anew is found
// again.
func TestServiceThroughAnotherMount(t *testing.T) {
	netw := sandbox.Setup(t, 1)
	dir, elsewhere := t.TempDir(), t.TempDir()
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	mounted, dials, dialed := make(chan error), make(chan bool), make(chan error)
	var f *os.File
	go netw.Hosts[0].Do(func() error { // on a thread that ends with it
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount(dir, elsewhere, "", unix.MS_BIND, "")
		}
		if err == nil {
			err = unix.Mount("", elsewhere, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
		mounted <- err
		for range dials {
			f, err = ipqueue.Dial(filepath.Join(elsewhere, "ipq.sock"), ipqueue.Hello{Family: ipqueue.IPv4, WordSize: 64, PID: 700})
			dialed <- err
		}
		return nil
	})
	defer close(dials)
	if err := <-mounted; err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(elsewhere); len(list) != 0 || err != nil {
		t.Fatalf("the mount shows here: %v, %v", list, err)
	}
	for range 2 {
		h, err := ipqueue.Open(ipqueue.Config{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := ipqueue.Listen(filepath.Join(dir, "ipq.sock"), 0o600, -1)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- h.Serve(context.Background(), l) }()
		dials <- true
		if err := <-dialed; err != nil {
			t.Fatal(err)
		}
		p := newProgram(t, f, wire.IPQ64, 700)
		p.setMode(wire.IPQCopyMeta, 0)
		n.send(t, "7001", 10)
		m, _ := p.wantPacket()
		p.verdict(m.ID, wire.IPQVerdictAccept, nil)
		if got := n.arrived(t, patience); got != 10 {
			t.Errorf("%d bytes arrived", got)
		}
		h.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

// Programs read an end of file when the service dies, and can come again when it
// is back, at the same path.
func TestServiceRestarts(t *testing.T) {
	sandbox.RequireNamespaces(t)
	path := filepath.Join(t.TempDir(), "ipq.sock")
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	for round := range 3 {
		h, err := ipqueue.Open(ipqueue.Config{})
		if err != nil {
			t.Fatal(err)
		}
		l, err := ipqueue.Listen(path, 0o600, -1)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- h.Serve(context.Background(), l) }()
		p := dial(t, path, ipqueue.IPv4, wire.IPQ64, 700)
		p.setMode(wire.IPQCopyMeta, 0)
		n.send(t, "7001", 10+round)
		p.wantPacket()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if got, _ := recvfrom(t, p.fd, p.buf, 0); got != 0 {
			t.Errorf("the program received %d bytes, want an end of file", got)
		}
		if _, err := unix.Write(p.fd, []byte{1}); err != unix.EPIPE && err != unix.ECONNRESET {
			t.Errorf("the program wrote to nobody: %v", err)
		}
		n.send(t, "7001", 99) // dropped: nobody is there
		if got := n.arrived(t, 2*time.Millisecond); got >= 0 {
			t.Errorf("%d bytes arrived", got)
		}
	}
}

// Whoever asks while the service ends is hung up on, not refused: a program that
// waits for the service to come back must see no error that stays.
func TestServiceHangsUpAtItsEnd(t *testing.T) {
	h := ipqueue.OpenIdle(ipqueue.Config{})
	h.Close()
	path := filepath.Join(t.TempDir(), "ipq.sock")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.AcceptUnix(); err == nil {
			h.Greet(c)
			c.Close()
		}
	}()
	if _, err := ipqueue.Dial(path, ipqueue.Hello{Family: ipqueue.IPv4}); !errors.Is(err, io.EOF) {
		t.Errorf("the answer at the end: %v, want an end of file", err)
	}
}

// Users who ask and then say nothing, or fill the places of others, are bounded;
// root is served all the same.
func TestServiceIsFair(t *testing.T) {
	h := open(t, ipqueue.Config{})
	sandbox.Require(t, "users", mapped(65534), "the user namespace has one user only; run as root")
	path := servePublic(t, h)
	asNobody := func(f func()) {
		done := make(chan struct{})
		go asUser(65534, func() { defer close(done); f() })
		<-done
	}
	var silent []*net.UnixConn
	turned := 0
	asNobody(func() {
		for range 100 {
			c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
			if err != nil {
				t.Error(err)
				return
			}
			silent = append(silent, c)
		}
		for _, c := range slices.Backward(silent) {
			c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				turned++
			}
			if turned == 100-16 {
				break
			}
		}
	})
	if turned != 100-16 {
		t.Errorf("%d of 100 silent clients were turned away, want 84", turned)
	}
	dial(t, path, ipqueue.IPv4, wire.IPQ64, 700).fence()
	for _, c := range silent {
		c.Close()
	}

	var held []*os.File
	var last error
	for last == nil {
		asNobody(func() {
			for len(held) < 2000 {
				var f *os.File
				if f, last = ipqueue.Dial(path, ipqueue.Hello{Family: 2}); last != nil {
					return
				}
				held = append(held, f)
			}
		})
		if errors.Is(last, unix.EPIPE) || errors.Is(last, unix.ECONNRESET) {
			last = nil // the silent ones were still being buried
		}
	}
	if !errors.Is(last, unix.EMFILE) || len(held) != 256 {
		t.Errorf("nobody got %d sockets, then %v; want 256 and EMFILE", len(held), last)
	}
	p := dial(t, path, ipqueue.IPv4, wire.IPQ64, 701)
	p.setMode(wire.IPQCopyMeta, 0)
	for _, f := range held {
		f.Close()
	}
}

// A person with many user ids does not take the descriptors of everyone.
func TestServiceBoundsAllUsers(t *testing.T) {
	h := open(t, ipqueue.Config{})
	sandbox.Require(t, "users", mapped(1) && mapped(100), "the user namespace has one user only; run as root")
	path := servePublic(t, h)
	var silent []*net.UnixConn
	for uid := 1; uid <= 40; uid++ {
		done := make(chan struct{})
		go asUser(uid, func() {
			defer close(done)
			for range 8 {
				c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { c.Close() })
				silent = append(silent, c)
			}
		})
		<-done
	}
	turnedAway := func(c *net.UnixConn, wait time.Duration) bool {
		c.SetReadDeadline(time.Now().Add(wait))
		_, err := c.Read(make([]byte, 1))
		return !errors.Is(err, os.ErrDeadlineExceeded)
	}
	for i, c := range slices.Backward(silent) {
		if i >= 256 && !turnedAway(c, time.Second) {
			t.Fatalf("client %d of users with 8 each was left waiting, want 256", i+1)
		}
		if i == 255 && turnedAway(c, time.Millisecond) {
			t.Error("client 256 was turned away")
		}
	}
	dial(t, path, ipqueue.IPv4, wire.IPQ64, 700).fence()
}

// Whoever may not use the handler gets no packets by asking for a socket with
// the port of one that may.
func TestStrangerGetsNoPackets(t *testing.T) {
	h := open(t, ipqueue.Config{})
	sandbox.Require(t, "users", mapped(65534), "the user namespace has one user only; run as root")
	path := servePublic(t, h)
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	var stranger *program
	done := make(chan struct{})
	go asUser(65534, func() {
		defer close(done)
		stranger = dial(t, path, ipqueue.IPv4, wire.IPQ64, 7)
	})
	<-done
	p := dial(t, path, ipqueue.IPv4, wire.IPQ64, 700)
	p.port = 7 // as a program knows itself that is announced by another number
	p.setMode(wire.IPQCopyMeta, 0)
	n.send(t, "7001", 10)
	p.wantPacket()
	stranger.port = 7
	done = make(chan struct{})
	go asUser(65534, func() {
		defer close(done)
		stranger.fence()
	})
	<-done
	stranger.close()
	await(t, h, ipqueue.IPv4, "the stranger has left", func(s ipqueue.FamilyStatus) bool { return s.Programs == 1 })
	if s := status(h, ipqueue.IPv4); s.PeerPID != 7 || s.Length != 1 {
		t.Errorf("with the stranger the peer has left: %+v", s)
	}
}

// Whoever may not use the handler keeps nobody out by asking for a socket with
// the port of another process; a second one of a process is refused to them too.
func TestStrangerTakesNoPorts(t *testing.T) {
	h := open(t, ipqueue.Config{})
	sandbox.Require(t, "users", mapped(65534), "the user namespace has one user only; run as root")
	path := servePublic(t, h)
	pid := os.Getpid()
	ask := func(uid int) error {
		asked := make(chan error)
		go asUser(uid, func() {
			f, err := ipqueue.Dial(path, ipqueue.Hello{Family: ipqueue.IPv4, PID: pid})
			if err == nil {
				t.Cleanup(func() { f.Close() })
			}
			asked <- err
		})
		return <-asked
	}
	for _, test := range []struct {
		name string
		uid  int
		want error
	}{
		{"a stranger", 65534, nil},
		{"the same stranger again", 65534, unix.EADDRINUSE},
		{"root", 0, nil},
		{"root again", 0, unix.EADDRINUSE},
	} {
		if err := ask(test.uid); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// A group may be allowed: by the real group of the sender, or by those of the
// process that asked for the socket, as long as its user sends.
func TestGroup(t *testing.T) {
	h := open(t, ipqueue.Config{Allow: ipqueue.RootOrGroup(4242)})
	sandbox.Require(t, "users", mapped(65534) && mapped(4242), "the user namespace has one user only; run as root")
	path := serve(t, h, 0o600)
	asMember := func(gid int, groups []uint32, f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			inner := make(chan struct{})
			go asUser(0, func() { // a thread to throw away
				defer close(inner)
				setGroups(t, groups)
				if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); errno != 0 {
					t.Errorf("setresgid: %v", errno)
				}
				// The user last: it takes the right to the rest away. The files of the
				// test are root's, so that it keeps the effective one for connecting.
				f()
			})
			<-inner
		}()
		<-done
	}
	become := func(uid int) {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			t.Errorf("setresuid: %v", errno)
		}
	}
	os.Chmod(filepath.Dir(path), 0o755)
	os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755)
	os.Chmod(path, 0o666)
	for _, test := range []struct {
		name   string
		gid    int
		groups []uint32
		dialed int // as user
		sends  int
		errno  unix.Errno
	}{
		{"nobody", 65534, nil, 65534, 65534, unix.EPERM},
		{"group", 4242, nil, 65534, 65534, 0},
		{"supplementary group", 65534, []uint32{1, 4242}, 65534, 65534, 0},
		{"other groups", 65534, []uint32{1, 2}, 65534, 65534, unix.EPERM},
		{"root asked, another user sends", 65534, []uint32{4242}, 0, 65534, unix.EPERM},
		{"root", 0, nil, 0, 0, 0},
	} {
		var p *program
		asMember(test.gid, test.groups, func() {
			if test.dialed != 0 {
				become(test.dialed)
			}
			p = dial(t, path, ipqueue.IPv4, wire.IPQ64, 700)
			if test.sends != test.dialed {
				become(test.sends)
			}
			p.send(p.message(wire.IPQTypeMode, wire.IPQFlagRequest|wire.IPQFlagAck, p.layout.AppendMode(nil, wire.IPQMode{Value: 1})))
		})
		if e, err := wire.DecodeIPQError(p.receive()); err != nil || unix.Errno(e.Errno) != test.errno {
			t.Errorf("%s: answered %d, %v; want %d", test.name, e.Errno, err, test.errno)
		}
		p.close()
		await(t, h, ipqueue.IPv4, "the program has left", func(s ipqueue.FamilyStatus) bool { return s.Programs == 0 })
	}
}
