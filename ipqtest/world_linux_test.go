package ipqtest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"ipq"
	"ipq/ipqtest"
	"ipq/packet"
)

// One suite of behaviours runs in two worlds: a fake kernel, and the real one in a namespace of the test's own. What holds
// in one and not in the other is a failure of package ipqtest; what holds in neither is one of package ipq.
type world interface {
	// open opens the queue that the traffic goes to, with everything that c says but the queue's number and file.
	open(t *testing.T, c ipq.Config) *ipq.Queue
	// send sends a UDP datagram through the queue. Every datagram of a test has other data.
	send(t *testing.T, data string, mark uint32) parcel
	// delivered fails the test unless the packet goes on, with this data and mark.
	delivered(t *testing.T, p parcel, data string, mark uint32)
	// dropped fails the test unless the packet ends. It waits until the queue is empty.
	dropped(t *testing.T, p parcel)
	// loss is what the kernel has dropped since the queue was opened.
	loss(t *testing.T) ipq.KernelStats
	// flush makes the kernel drop what is queued.
	flush(t *testing.T)
	// socket is a descriptor for ipq.Config.File. It and the queue that open opened belong to the same kernel.
	socket(t *testing.T) *os.File
}

// parcel is a packet that was sent.
type parcel struct {
	data  string
	entry *ipqtest.Entry // in the fake world
}

const (
	queueNumber = 900
	passMark    = 7 // a packet with this mark is not queued
	patience    = 10 * time.Second
)

// everywhere runs a test in each world.
func everywhere(t *testing.T, test func(t *testing.T, w world)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) { test(t, &fakeWorld{k: ipqtest.New(t)}) })
	t.Run("real", func(t *testing.T) { test(t, newRealWorld(t)) })
}

// serve runs h until the test ends or stop is called.
func serve(t *testing.T, q *ipq.Queue, h ipq.Handler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // the test's own ends before what is cleaned up in front of this
	done := make(chan error, 1)
	go func() { done <- q.Serve(ctx, h) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return soon(t, done, "Serve to end")
	})
	t.Cleanup(func() {
		if err := stop(); !errors.Is(err, context.Canceled) && !errors.Is(err, os.ErrClosed) && !errors.Is(err, ipq.ErrDrained) {
			t.Errorf("Serve: %v", err)
		}
	})
	return stop
}

// soon fails the test if nothing comes out of c.
func soon[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
	return v
}

// until fails the test if ok does not become true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// header is the length of the headers of a datagram.
const header = 20 + 8

// dataOf is what a UDP packet over IPv4 carries.
func dataOf(b []byte) string {
	if len(b) < header {
		return ""
	}
	return string(b[header:])
}

// datagram is a UDP packet over IPv4. With from, it is that packet with other data and checksums that are not true yet.
func datagram(from []byte, data string) []byte {
	b := make([]byte, header, header+len(data))
	if from != nil {
		copy(b, from)
	} else {
		copy(b, []byte{0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1, 0x13, 0x88, 0x13, 0x89})
	}
	b = append(b, data...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[24:], uint16(len(b)-20))
	if from == nil {
		if err := packet.UpdateChecksums(b); err != nil {
			panic(err)
		}
	}
	return b
}

type fakeWorld struct {
	k *ipqtest.Kernel
}

func (w *fakeWorld) open(t *testing.T, c ipq.Config) *ipq.Queue {
	t.Helper()
	c.Queue, c.File = queueNumber, w.k.File()
	q, err := ipq.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

func (w *fakeWorld) send(t *testing.T, data string, mark uint32) parcel {
	t.Helper()
	return w.inject(t, datagram(nil, data), data, mark)
}

func (w *fakeWorld) inject(t *testing.T, b []byte, data string, mark uint32) parcel {
	t.Helper()
	return parcel{data, w.k.Inject(ipqtest.Packet{
		Queue: queueNumber, Hook: ipq.Output, Mark: mark, Out: 1, Payload: b,
		Local: true, UID: outside(t, "uid_map", os.Getuid()), GID: outside(t, "gid_map", os.Getgid()),
	})}
}

// outcome is the packet's fate when there is a rule around the queue that lets passMark pass.
func (w *fakeWorld) outcome(t *testing.T, p parcel) (r ipqtest.Result, passed bool) {
	t.Helper()
	for {
		r = p.entry.Result()
		switch {
		case r.Verdict == ipq.Accept, r.Verdict == ipq.Stop, r.Verdict == ipq.RequeueBypass(queueNumber+1):
			return r, true
		case r.Verdict != ipq.Repeat:
			return r, false
		case r.Mark == passMark:
			return r, true
		}
		p = w.inject(t, r.Payload, p.data, r.Mark)
	}
}

func (w *fakeWorld) delivered(t *testing.T, p parcel, data string, mark uint32) {
	t.Helper()
	r, passed := w.outcome(t, p)
	if !passed {
		t.Fatalf("%.20q was dropped: %v, %v", p.data, r.Fate, r.Verdict)
	}
	if got := dataOf(r.Payload); got != data {
		t.Errorf("%.20q was delivered as %.40q (%d bytes), want %.40q (%d bytes)", p.data, got, len(got), data, len(data))
	}
	if r.Mark != mark {
		t.Errorf("%.20q was delivered with mark %#x, want %#x", p.data, r.Mark, mark)
	}
	if right := datagram(r.Payload, data); packet.UpdateChecksums(right) != nil || string(right) != string(r.Payload) {
		t.Errorf("%.20q has lengths or checksums that no stack would take: % x", p.data, r.Payload[:header])
	}
}

func (w *fakeWorld) dropped(t *testing.T, p parcel) {
	t.Helper()
	if r, passed := w.outcome(t, p); passed {
		t.Errorf("%.20q was delivered: %v, %v", p.data, r.Fate, r.Verdict)
	}
}

func (w *fakeWorld) loss(*testing.T) ipq.KernelStats { return w.k.Stats(queueNumber) }
func (w *fakeWorld) flush(*testing.T)                { w.k.Flush() }
func (w *fakeWorld) socket(*testing.T) *os.File      { return w.k.File() }
