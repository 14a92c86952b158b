package ipqtest_test

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"ipq"
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
