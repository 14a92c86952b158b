package ipqueue_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/ipqueue"
	"ipq/rules"
)

// inode returns the number of a program's socket.
func (p *program) inode() uint32 {
	p.t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(p.fd, &st); err != nil {
		p.t.Fatal(err)
	}
	return uint32(st.Ino)
}

// refusal sends a message that is refused, with the program's port, and returns
// the port that the refusal is for.
func (p *program) refusal() int32 {
	p.t.Helper()
	p.send(p.message(wire.IPQTypeMax, wire.IPQFlagRequest, nil))
	e, err := wire.DecodeIPQError(p.receive())
	if err != nil {
		p.t.Fatal(err)
	}
	return int32(e.PID)
}

// A socket has the port that it is bound to, or gets one with the first message,
// as netlink gave it; a port is one socket's; and who asked for a socket binds it.
func TestBind(t *testing.T) {
	h := open(t, ipqueue.Config{})
	path := serve(t, h, 0o600)
	pid := int32(os.Getpid())
	for name, c := range map[string]struct {
		connect func(*testing.T, uint32) *program
		bind    func(inode, port uint32) (uint32, error)
		foreign func(inode, port uint32) (uint32, error)
	}{
		"handler": {
			func(t *testing.T, port uint32) *program { return connect(t, h, ipqueue.IPv4, wire.IPQ64, port) },
			h.Bind,
			func(inode, port uint32) (uint32, error) { return ipqueue.DialBind(path, inode, port) },
		},
		"service": {
			func(t *testing.T, port uint32) *program { return dial(t, path, ipqueue.IPv4, wire.IPQ64, port) },
			func(inode, port uint32) (uint32, error) { return ipqueue.DialBind(path, inode, port) },
			h.Bind,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bind := func(p *program, port, want uint32, wantErr error) {
				t.Helper()
				if now, err := c.bind(p.inode(), port); now != want || !errors.Is(err, wantErr) {
					t.Errorf("bound to %d: %d, %v; want %d, %v", port, now, err, want, wantErr)
				}
			}
			a, b, d, e := c.connect(t, 0), c.connect(t, 0), c.connect(t, 0), c.connect(t, 0)
			bind(a, 77, 77, nil)
			bind(a, 77, 77, nil)
			bind(a, 78, 77, nil)
			bind(b, 77, 0, unix.EADDRINUSE)
			bind(b, 78, 78, nil)
			if _, err := c.foreign(a.inode(), 77); !errors.Is(err, unix.EPERM) {
				t.Errorf("bound by another: %v, want EPERM", err)
			}
			for _, p := range []*program{a, b, d, e} {
				p.port = uint32(pid) // as nlmsg_pid of all
			}
			if got := [4]int32{a.refusal(), b.refusal(), d.refusal(), e.refusal()}; got != [4]int32{77, 78, pid, -4097} {
				t.Errorf("refusals are for the ports %d, want 77, 78, the process %d and -4097", got, pid)
			}
			bind(e, 5, 1<<32-4097, nil)
			if _, err := c.bind(inodeOf(t, "/dev/null"), 5); !errors.Is(err, unix.ENOENT) {
				t.Errorf("bound a socket that is none: %v, want ENOENT", err)
			}
			a.close()
			bind(c.connect(t, 0), 77, 77, nil)
			for _, p := range []*program{b, d, e} {
				p.close()
			}
		})
	}
}

// The port of a socket whose owner may not use the handler is free to those who
// may.
func TestStrangerBindsNoPort(t *testing.T) {
	h := open(t, ipqueue.Config{})
	sandbox.Require(t, "users", mapped(65534), "the user namespace has one user only; run as root")
	path := servePublic(t, h)
	bind := func(p *program, want uint32, wantErr error) {
		t.Helper()
		if now, err := ipqueue.DialBind(path, p.inode(), 77); now != want || !errors.Is(err, wantErr) {
			t.Errorf("bound to 77: %d, %v; want %d, %v", now, err, want, wantErr)
		}
	}
	done := make(chan struct{})
	go asUser(65534, func() {
		defer close(done)
		bind(dial(t, path, ipqueue.IPv4, wire.IPQ64, 0), 77, nil)
	})
	<-done
	bind(dial(t, path, ipqueue.IPv4, wire.IPQ64, 0), 77, nil)
	bind(dial(t, path, ipqueue.IPv4, wire.IPQ64, 0), 0, unix.EADDRINUSE)
}

// What the status says is true: a program that has closed its socket is not among
// those that have one, nor the peer.
func TestStatusAfterClose(t *testing.T) {
	h := open(t, ipqueue.Config{})
	for range 200 {
		p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
		p.setMode(wire.IPQCopyMeta, 0)
		p.close()
		if s := h.Status().IPv4; s.Programs != 0 || s.PeerPID != 0 || s.CopyMode != 0 {
			t.Fatalf("with all sockets closed: %+v", s)
		}
	}
}

// Two sockets of one process are told apart by their ports: packets go to the one
// whose port the message names.
func TestBindPeer(t *testing.T) {
	h := open(t, ipqueue.Config{})
	a, b := connect(t, h, ipqueue.IPv4, wire.IPQ64, 0), connect(t, h, ipqueue.IPv4, wire.IPQ64, 0)
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	for port, p := range map[uint32]*program{77: a, 78: b} {
		if _, err := h.Bind(p.inode(), port); err != nil {
			t.Fatal(err)
		}
	}
	b.port = 77 // b speaks for a
	b.setMode(wire.IPQCopyMeta, 0)
	n.send(t, "7001", 10)
	m, _ := a.wantPacket()
	a.port = 77
	a.verdict(m.ID, wire.IPQVerdictDrop, nil)
}

func inodeOf(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Ino)
}
