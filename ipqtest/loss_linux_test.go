package ipqtest_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/wire"
	"ipq/ipqtest"
)

// A full queue drops, or passes with FlagFailOpen, what comes next, which takes no id.
func TestQueueFull(t *testing.T) {
	for _, flags := range []ipq.Flags{0, ipq.FlagFailOpen} {
		t.Run(fmt.Sprintf("flags=%v", flags), func(t *testing.T) {
			everywhere(t, func(t *testing.T, w world) {
				q := w.open(t, ipq.Config{MaxLen: 2, Require: flags})
				var sent []parcel
				for i := range 5 {
					sent = append(sent, w.send(t, fmt.Sprint("packet ", i), 0))
				}
				lost := uint32(3)
				if flags != 0 {
					lost = 0
				}
				if s := w.loss(t); s.QueueDropped != lost || s.UserDropped != 0 || s.Waiting != 2 {
					t.Errorf("loss %+v, want %d by the queue", s, lost)
				}
				serve(t, q, func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
				for i, p := range sent {
					if i < 2 || flags != 0 {
						w.delivered(t, p, p.data, 0)
					} else {
						w.dropped(t, p)
					}
				}
				w.delivered(t, w.send(t, "next", 0), "next", 0)
				if s := q.Stats(); s.Received != 3 || s.Overruns != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// When the socket's buffer overflows, every packet is accounted for: received, or in the kernel's counts; and what the
// program is told adds up to the ids that were skipped.
func TestOverrun(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		const n = 3000
		var mu sync.Mutex
		var missing uint64
		q := w.open(t, ipq.Config{MaxLen: n / 2, RecvBuffer: 64 << 10, Range: 100, OnOverrun: func(skipped uint64) {
			mu.Lock()
			missing += skipped
			mu.Unlock()
		}})
		fake, isFake := w.(*fakeWorld)
		for i := range n {
			if isFake && i >= 500 && i < n-1 {
				fake.k.Inject(ipqtest.Packet{Queue: queueNumber, Overrun: true, Payload: datagram(nil, "lost")})
				continue
			}
			w.send(t, fmt.Sprint("packet ", i), 0)
		}
		serve(t, q, func(p *ipq.Packet) ipq.Verdict { return ipq.Drop })
		until(t, "the queue to be empty", func() bool { return w.loss(t).Waiting == 0 })
		until(t, "what was received to be answered", func() bool { s := q.Stats(); return s.Open == 0 && s.Received > 0 })
		p := w.send(t, "the last one", 0)
		w.dropped(t, p)
		until(t, "the last one to be answered", func() bool { s := q.Stats(); return s.Open == 0 && w.loss(t).Waiting == 0 })
		lost, s := w.loss(t), q.Stats()
		if lost.UserDropped == 0 {
			t.Errorf("no overrun: the test shows nothing: %+v", lost)
		}
		if got := s.Received + uint64(lost.QueueDropped) + uint64(lost.UserDropped); got != n+1 {
			t.Errorf("%d sent, but %d received + %d + %d dropped are %d", n+1, s.Received, lost.QueueDropped, lost.UserDropped, got)
		}
		mu.Lock()
		defer mu.Unlock()
		if missing != uint64(lost.UserDropped) || s.Overruns == 0 {
			t.Errorf("OnOverrun told of %d packets (%d overruns), the kernel counts %d", missing, s.Overruns, lost.UserDropped)
		}
	})
}

// An owned queue is busy, and the error names the owner where that can be known.
func TestQueueBusy(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{})
		c := ipq.Config{Queue: queueNumber}
		if _, fake := w.(*fakeWorld); fake {
			c.File = w.socket(t)
		}
		_, err := ipq.Open(c)
		if !errors.Is(err, ipq.ErrQueueBusy) {
			t.Errorf("Open of an owned queue: %v", err)
		}
		if c.File == nil && !strings.Contains(err.Error(), fmt.Sprintf("process %d", unix.Getpid())) {
			t.Errorf("the error does not name the owner: %v", err)
		}
		p := w.send(t, "not disturbed", 0)
		serve(t, q, func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
		w.delivered(t, p, p.data, 0)
	})
}

// A socket that somebody else has opened serves as well, also when it has bound the queue and packets wait in it.
func TestAdoptedSocket(t *testing.T) {
	for _, bound := range []bool{false, true} {
		t.Run(fmt.Sprintf("bound=%v", bound), func(t *testing.T) {
			everywhere(t, func(t *testing.T, w world) {
				w.open(t, ipq.Config{}).Close() // for its rule
				f := w.socket(t)
				if bound {
					raw, err := f.SyscallConn()
					if err != nil {
						t.Fatal(err)
					}
					raw.Control(func(fd uintptr) {
						err = unix.Send(int(fd), wire.AppendConfig(nil, wire.Config{
							Queue: queueNumber, Cmd: wire.CmdBind, SetParams: true, CopyMode: wire.CopyPacket}, 77), 0)
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				var waiting parcel
				if bound {
					if fake, ok := w.(*fakeWorld); ok {
						until(t, "the fake kernel to bind", func() bool { // a real one has when send returns
							e := fake.k.Inject(ipqtest.Packet{Queue: queueNumber, Payload: datagram(nil, "probe")})
							select {
							case <-e.Done():
								return false
							default:
								return true
							}
						})
					}
					waiting = w.send(t, "before Open", 0)
				}
				q, err := ipq.Open(ipq.Config{Queue: queueNumber, File: f})
				if err != nil {
					t.Fatal(err)
				}
				defer q.Close()
				if real, ok := w.(*realWorld); ok {
					real.queue = q
				}
				if _, err := f.Stat(); err == nil {
					t.Error("the file is still open")
				}
				stop := serve(t, q, func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
				if bound {
					w.delivered(t, waiting, waiting.data, 0)
				}
				w.delivered(t, w.send(t, "after Open", 0), "after Open", 0)
				stop()
			})
		})
	}
	t.Run("unsuitable", func(t *testing.T) {
		for _, kind := range []struct{ domain, typ, proto int }{
			{unix.AF_UNIX, unix.SOCK_STREAM, 0}, {unix.AF_UNIX, unix.SOCK_DGRAM, 0}, {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE},
		} {
			fd, err := unix.Socket(kind.domain, kind.typ|unix.SOCK_CLOEXEC, kind.proto)
			if err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(fd), "unsuitable")
			if q, err := ipq.Open(ipq.Config{File: f}); err == nil {
				q.Close()
				t.Errorf("a socket of family %d, type %d was taken", kind.domain, kind.typ)
			}
			if _, err := f.Stat(); err == nil {
				t.Error("the file is still open")
			}
		}
	})
}

// outside is what an id of this user namespace is in the one around it. The kernel tells ids as the outermost namespace
// numbers them.
func outside(t *testing.T, file string, id int) uint32 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var first, there, n int
	if _, err := fmt.Sscan(string(text), &first, &there, &n); err != nil || id < first || id >= first+n {
		t.Fatalf("%s: %q, %v", file, text, err)
	}
	return uint32(there + id - first)
}

// What the kernel says of a packet beside its payload.
func TestMetadata(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		for _, meta := range []bool{false, true} {
			c := ipq.Config{Flags: ipq.FlagUIDGID}
			if meta {
				c.Mode = ipq.ModeMeta
			}
			q := w.open(t, c)
			if q.Flags() != ipq.FlagUIDGID || q.Number() != queueNumber {
				t.Errorf("granted %v, queue %d", q.Flags(), q.Number())
			}
			data := fmt.Sprint("with meta ", meta)
			p := w.send(t, data, 0xabcd)
			var b ipq.Batch
			if err := q.Recv(&b); err != nil {
				t.Fatal(err)
			}
			x := b.Packet(0)
			uid, gid := outside(t, "uid_map", unix.Getuid()), outside(t, "gid_map", unix.Getgid())
			want := fmt.Sprintf("id 1 ip output 0x800 mark 0xabcd in 0 out 1 uid %d gid %d true", uid, gid)
			if got := fmt.Sprintf("id %v %v %v %#x mark %#x in %d out %d uid %d gid %d %v", x.ID, x.Family, x.Hook, x.Protocol, x.Mark,
				x.In, x.Out, x.UID, x.GID, x.Has(ipq.HasUID|ipq.HasGID)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if wantLen := header + len(data); meta && (x.Length != 0 || x.Has(ipq.HasPayload)) || !meta && (x.Length != wantLen || dataOf(x.Payload) != data) {
				t.Errorf("meta %v: %d bytes of %d, payload %v", meta, len(x.Payload), x.Length, x.Has(ipq.HasPayload))
			}
			if x.Truncated() || x.GSO() || x.PhysIn != 0 || x.PhysOut != 0 || x.HWAddr != nil || x.L2Header != nil || x.Has(ipq.HasVLAN) {
				t.Errorf("it has what it should not: %+v", x)
			}
			if _, ok := x.Conntrack(); ok {
				t.Error("it has a connection, which was not asked for")
			}
			if _, ok := x.Time(); ok {
				t.Error("it has a time at the output hook")
			}
			if err := x.SetVerdict(ipq.Accept); err != nil {
				t.Error(err)
			}
			w.delivered(t, p, data, 0xabcd)
			q.Close()
		}
	})
}

// Flags that this kernel lacks are left out, or refused by name; the others stay.
func TestFlags(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		all := ipq.FlagFailOpen | ipq.FlagConntrack | ipq.FlagGSO | ipq.FlagUIDGID | ipq.FlagSecurityContext
		if _, fake := w.(*fakeWorld); fake {
			w = &fakeWorld{k: ipqtest.New(t, ipqtest.Config{Lacks: ipq.FlagConntrack | ipq.FlagSecurityContext})}
		}
		q := w.open(t, ipq.Config{Flags: all})
		lacking := all &^ q.Flags()
		if _, fake := w.(*fakeWorld); fake && lacking != ipq.FlagConntrack|ipq.FlagSecurityContext {
			t.Errorf("lacking %v", lacking)
		}
		p := w.send(t, "with flags", 0)
		stop := serve(t, q, func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
		w.delivered(t, p, p.data, 0)
		stop()
		if lacking == 0 {
			return
		}
		c := ipq.Config{Queue: queueNumber + 1, Require: all}
		if _, fake := w.(*fakeWorld); fake {
			c.File = w.socket(t)
		}
		_, err := ipq.Open(c)
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "required "+lacking.String()+":") {
			t.Errorf("Open: %v, want an error that names %v and nothing else", err, lacking)
		}
	})
}

// A queue that was taken away behind the program's back: what is left of it is refused, and the program is told.
func TestUnbound(t *testing.T) {
	for _, owned := range []bool{false, true} { // by somebody else meanwhile
		t.Run(fmt.Sprintf("owned=%v", owned), func(t *testing.T) {
			k := ipqtest.New(t)
			refused := make(chan error, 1)
			q, err := ipq.Open(ipq.Config{File: k.File(), OnVerdictError: func(_ ipq.ID, err error) { refused <- err }})
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			ids := hold(t, q)
			e := k.Inject(ipqtest.Packet{})
			id := soon(t, ids, "the handler")
			k.Unbind(0)
			if r := e.Result(); r.Fate != ipqtest.Flushed || r.Verdict != ipq.Drop {
				t.Errorf("the packet: %v, %v", r.Fate, r.Verdict)
			}
			if e := k.Inject(ipqtest.Packet{}); e.Result().Fate != ipqtest.NoListener || e.ID != 0 {
				t.Errorf("a packet for nobody: %v, id %d", e.Result().Fate, e.ID)
			}
			if owned {
				other, err := ipq.Open(ipq.Config{File: k.File()})
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
			}
			if err := q.SetVerdict(id, ipq.Accept); err != nil {
				t.Fatal(err)
			}
			if err := soon(t, refused, "OnVerdictError"); !errors.Is(err, ipq.ErrNotOwner) {
				t.Errorf("OnVerdictError: %v", err)
			}
			if err := q.SetMode(ipq.ModeMeta, 0); err == nil {
				t.Error("the mode of a queue that is not owned was set")
			}
			if s := q.Stats(); s.VerdictErrors != 1 || s.Gone != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}
