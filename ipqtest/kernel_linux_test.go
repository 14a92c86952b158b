package ipqtest_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"ipq"
	"ipq/internal/nlsock"
	"ipq/internal/wire"
	"ipq/ipqtest"
)

// recorder is a TB that notes what it is told.
type recorder struct {
	*testing.T
	fatal string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// try runs f where it may fail the test, and returns how it did.
func try(t *testing.T, f func(r *recorder)) (fatal string) {
	t.Helper()
	r := &recorder{T: t}
	done := make(chan struct{})
	go func() { defer close(done); f(r) }()
	soon(t, done, "the test to end")
	return r.fatal
}

// What a test does wrong fails it with a message, and never hangs.
func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		want string
		do   func(r *recorder)
	}{
		{"no verdict for 5ms", func(r *recorder) {
			k := ipqtest.New(r, ipqtest.Config{Patience: 5 * time.Millisecond})
			q, err := ipq.Open(ipq.Config{Queue: 3, File: k.File()})
			if err != nil {
				t.Error(err)
				return
			}
			defer q.Close()
			k.Inject(ipqtest.Packet{Queue: 3}).Result()
		}},
		{"at most one", func(r *recorder) { ipqtest.New(r, ipqtest.Config{}, ipqtest.Config{}) }},
		{"nobody has bound queue 5", func(r *recorder) { ipqtest.New(r).Raw(5, nil) }},
		{"inject the segments", func(r *recorder) {
			k := ipqtest.New(r)
			q, err := ipq.Open(ipq.Config{File: k.File()})
			if err != nil {
				t.Error(err)
				return
			}
			defer q.Close()
			k.Inject(ipqtest.Packet{GSO: true})
		}},
	} {
		if got := try(t, test.do); !strings.Contains(got, test.want) {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

// A kernel that ends takes its packets with it, and the program sees its socket hung up.
func TestKernelClose(t *testing.T) {
	k, q := fake(t, ipq.Config{})
	ids := make(chan ipq.ID, 1)
	done := make(chan error, 1)
	go func() { done <- q.Serve(t.Context(), func(p *ipq.Packet) ipq.Verdict { ids <- p.ID; return ipq.Hold }) }()
	e := k.Inject(ipqtest.Packet{})
	id := soon(t, ids, "the handler")
	k.Close()
	if r := e.Result(); r.Fate != ipqtest.Flushed || r.Verdict != ipq.Drop {
		t.Errorf("the packet: %v, %v", r.Fate, r.Verdict)
	}
	if err := soon(t, done, "Serve"); err == nil {
		t.Error("Serve ended without an error")
	}
	if err := q.SetVerdict(id, ipq.Accept); err == nil {
		t.Error("a verdict was taken that nobody can receive")
	}
	if e := k.Inject(ipqtest.Packet{}); e.Result().Fate != ipqtest.NoListener {
		t.Errorf("a packet afterwards: %v", e.Result().Fate)
	}
	if _, err := ipq.Open(ipq.Config{File: k.File()}); err == nil {
		t.Error("a queue was opened afterwards")
	}
	k.Close()
}

// What a program has sent is done when the test looks, as if the kernel had done it at once.
func TestSynchronous(t *testing.T) {
	k, q := fake(t, ipq.Config{})
	for i := range 300 {
		e := k.Inject(ipqtest.Packet{})
		if err := next(t, q).SetVerdict(ipq.Accept); err != nil {
			t.Fatal(err)
		}
		if s := k.Stats(0); s.Waiting != 0 {
			t.Fatalf("packet %d still waits", i)
		}
		select {
		case <-e.Done():
		default:
			t.Fatalf("packet %d is not done", i)
		}
		q.Close()
		if e := k.Inject(ipqtest.Packet{}); e.Result().Fate != ipqtest.NoListener {
			t.Fatalf("round %d: a packet for a closed queue: %v", i, e.Result().Fate)
		}
		file := k.File() // before the other is closed, in half of the rounds, and bound after it
		if q, _ = ipq.Open(ipq.Config{File: file}); q == nil {
			t.Fatal("the queue is not free")
		}
		if i%2 == 0 {
			early := k.File()
			q.Close()
			var err error
			if q, err = ipq.Open(ipq.Config{File: early}); err != nil {
				t.Fatal(err)
			}
		}
	}
	q.Close()
}

// Bytes that are no message come in turn with the packets, and disturb none of them.
func TestRaw(t *testing.T) {
	k, q := fake(t, ipq.Config{})
	junk := [][]byte{{1}, make([]byte, 15), make([]byte, 16), bytes.Repeat([]byte{0xff}, 100), []byte("not netlink at all")}
	for _, b := range junk {
		k.Raw(0, b)
		e := k.Inject(ipqtest.Packet{})
		if p := next(t, q); p.ID.Uint32() != e.ID {
			t.Errorf("packet %v, want %d", p.ID, e.ID)
		} else if err := p.SetVerdict(ipq.Accept); err != nil {
			t.Error(err)
		}
		if r := e.Result(); r.Verdict != ipq.Accept {
			t.Errorf("behind % x: %v", b, r.Verdict)
		}
	}
	if s := q.Stats(); s.Malformed != uint64(len(junk)) || s.Received != uint64(len(junk)) {
		t.Errorf("stats %+v", s)
	}
}

// Every fate that is not a verdict.
func TestFates(t *testing.T) {
	k := ipqtest.New(t, ipqtest.Config{LastID: 41})
	check := func(p ipqtest.Packet, want ipqtest.Fate, verdict ipq.Verdict, id uint32) {
		t.Helper()
		p.Mark, p.Payload = 5, []byte("E")
		e := k.Inject(p)
		if want == 0 {
			return
		}
		if r := e.Result(); r.Fate != want || r.Verdict != verdict || e.ID != id || r.Mark != 5 || string(r.Payload) != "E" {
			t.Errorf("%v, %v, id %d, mark %d, payload %q: want %v, %v, id %d", r.Fate, r.Verdict, e.ID, r.Mark, r.Payload, want, verdict, id)
		}
	}
	check(ipqtest.Packet{}, ipqtest.NoListener, ipq.Drop, 0)

	c, err := nlsock.Adopt(k.File())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	configure := func(config wire.Config) {
		t.Helper()
		if got := converse(t, c, [][]byte{wire.AppendConfig(nil, config, 0)}, false); got != "ok" {
			t.Fatalf("%+v: %s", config, got)
		}
	}
	configure(wire.Config{Cmd: wire.CmdBind, MaxLen: 1})
	check(ipqtest.Packet{}, ipqtest.CopyNone, ipq.Drop, 0)
	configure(wire.Config{SetParams: true, CopyMode: wire.CopyPacket})
	check(ipqtest.Packet{Overrun: true}, ipqtest.BufferFull, ipq.Drop, 42)
	check(ipqtest.Packet{}, 0, 0, 43) // waits
	check(ipqtest.Packet{}, ipqtest.QueueFull, ipq.Drop, 0)
	if s := k.Stats(0); s != (ipq.KernelStats{Waiting: 1, QueueDropped: 1, UserDropped: 1, LastID: 43}) {
		t.Errorf("stats %+v", s)
	}
	k.Flush()
	c2, err := nlsock.Adopt(k.File()) // because packets have been sent to the first, and nobody reads them
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	c.Close()
	c = c2
	configure(wire.Config{Cmd: wire.CmdBind, SetParams: true, CopyMode: wire.CopyPacket, MaxLen: 1, Mask: wire.FlagFailOpen, Flags: wire.FlagFailOpen})
	check(ipqtest.Packet{Overrun: true}, ipqtest.BufferFull, ipq.Accept, 42)
	check(ipqtest.Packet{}, 0, 0, 43)
	check(ipqtest.Packet{}, ipqtest.QueueFull, ipq.Accept, 0)
	if s := k.Stats(0); s != (ipq.KernelStats{Waiting: 1, LastID: 43}) {
		t.Errorf("stats with fail-open %+v", s)
	}
}
