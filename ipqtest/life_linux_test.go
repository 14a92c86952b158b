package ipqtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ipq"
)

// Close drops what is held, wakes who reads, and may come twice.
func TestClose(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ids, done := make(chan ipq.ID, 10), make(chan error, 1)
		go func() { done <- q.Serve(ctx, func(p *ipq.Packet) ipq.Verdict { ids <- p.ID; return ipq.Hold }) }()
		p := w.send(t, "held", 0)
		id := soon(t, ids, "the handler")
		if err := q.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := soon(t, done, "Serve"); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
		w.dropped(t, p)
		if err := q.Close(); err != nil {
			t.Errorf("Close again: %v", err)
		}
		var b ipq.Batch
		for what, err := range map[string]error{
			"SetVerdict":      q.SetVerdict(id, ipq.Accept),
			"SetMode":         q.SetMode(ipq.ModeMeta, 0),
			"Recv":            q.Recv(&b),
			"Serve":           q.Serve(ctx, func(*ipq.Packet) ipq.Verdict { return ipq.Accept }),
			"SetReadDeadline": q.SetReadDeadline(time.Now()),
		} {
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s after Close: %v", what, err)
			}
		}
		if err := q.Drain(ctx); err != nil {
			t.Errorf("Drain after Close: %v", err)
		}
		w.open(t, ipq.Config{}) // the number is free again
	})
}

// Close wakes a Recv, from a handler too.
func TestCloseWakesRecv(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{})
		for _, wait := range []bool{true, false} { // with a Recv that waits, and with one that may not have begun
			done := make(chan error, 1)
			began := make(chan struct{})
			go func() {
				var b ipq.Batch
				close(began)
				err := q.Recv(&b)
				for errors.Is(err, ipq.ErrReading) {
					err = q.Recv(&b)
				}
				done <- err
			}()
			<-began
			if wait {
				ended, cancel := context.WithCancel(t.Context())
				cancel()
				until(t, "Recv to read", func() bool { return errors.Is(q.Serve(ended, nil), ipq.ErrReading) })
			}
			q.Close()
			if err := soon(t, done, "Recv"); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Recv: %v", err)
			}
			q = w.open(t, ipq.Config{})
		}
		done := make(chan error, 1)
		go func() { done <- q.Serve(t.Context(), func(*ipq.Packet) ipq.Verdict { q.Close(); return ipq.Accept }) }()
		p := w.send(t, "whose handler closes", 0)
		if err := soon(t, done, "Serve"); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
		w.dropped(t, p)
	})
}

// Only one may read at a time.
func TestReading(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{})
		entered, leave := make(chan struct{}), make(chan struct{})
		stop := serve(t, q, func(*ipq.Packet) ipq.Verdict { entered <- struct{}{}; <-leave; return ipq.Accept })
		p := w.send(t, "reading", 0)
		soon(t, entered, "the handler")
		var b ipq.Batch
		if err := q.Recv(&b); !errors.Is(err, ipq.ErrReading) {
			t.Errorf("Recv during Serve: %v", err)
		}
		if err := q.Serve(t.Context(), func(*ipq.Packet) ipq.Verdict { return ipq.Accept }); !errors.Is(err, ipq.ErrReading) {
			t.Errorf("Serve during Serve: %v", err)
		}
		close(leave)
		w.delivered(t, p, "reading", 0)
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
		// Afterwards the queue is as it was: a cancelled Serve leaves no deadline behind.
		p = w.send(t, "after Serve", 0)
		if err := q.Recv(&b); err != nil {
			t.Fatal(err)
		}
		if err := b.Packet(0).SetVerdict(ipq.Accept); err != nil {
			t.Error(err)
		}
		w.delivered(t, p, "after Serve", 0)
	})
}

// When its context ends, Serve answers what the handler has not seen, and leaves what is held.
func TestContextEnds(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		var told atomic.Int32
		q := w.open(t, ipq.Config{Range: 1000, OnDefault: func(ipq.ID, error) { told.Add(1) }})
		var sent []parcel
		for i := range 10 {
			sent = append(sent, w.send(t, fmt.Sprint("packet ", i), 0))
		}
		until(t, "10 packets to be queued", func() bool { return w.loss(t).Waiting == 10 })
		ctx, cancel := context.WithCancel(t.Context())
		var held ipq.ID
		err := q.Serve(ctx, func(p *ipq.Packet) ipq.Verdict {
			switch p.ID.Uint32() {
			case 3:
				held = p.ID
				return ipq.Hold
			case 5:
				cancel()
			}
			return ipq.Accept
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
		n := int(told.Load()) // all of the batch but what the handler saw; the rest waits for the next reader
		if s := q.Stats(); s.Open != 1 || int(s.Defaulted) != n || int(s.Received) != int(s.Accepted)+n+1 {
			t.Errorf("stats %+v, %d were told of", s, n)
		}
		for _, i := range []int{0, 1, 3, 4} {
			w.delivered(t, sent[i], sent[i].data, 0)
		}
		if err := q.SetVerdict(held, ipq.Accept); err != nil {
			t.Error(err)
		}
		w.delivered(t, sent[2], sent[2].data, 0)
		if err := q.Serve(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve with a context that has ended: %v", err)
		}
	})
}

// A read deadline ends Recv and Serve, and nothing else; without it they wait again.
func TestReadDeadline(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{})
		var b ipq.Batch
		serve := func() error { return q.Serve(t.Context(), func(*ipq.Packet) ipq.Verdict { return ipq.Accept }) }
		for _, at := range []time.Time{time.Unix(1, 0), time.Now().Add(5 * time.Millisecond)} {
			if err := q.SetReadDeadline(at); err != nil {
				t.Fatal(err)
			}
			if err := q.Recv(&b); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Recv with deadline %v: %v", at, err)
			}
			if time.Now().Before(at) {
				t.Error("Recv returned before its deadline")
			}
			if err := serve(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Serve with deadline %v: %v", at, err)
			}
		}
		// SetMode is not what the program bounds.
		if err := q.SetMode(ipq.ModePacket, 0); err != nil {
			t.Errorf("SetMode with a deadline that has passed: %v", err)
		}
		if err := q.Recv(&b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Recv after SetMode: %v", err)
		}
		done := make(chan error, 1)
		q.SetReadDeadline(time.Time{})
		go func() { done <- serve() }()
		p := w.send(t, "while no deadline is set", 0)
		w.delivered(t, p, p.data, 0)
		q.SetReadDeadline(time.Now()) // of a read that waits
		if err := soon(t, done, "Serve"); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// Drain answers what is held and what still comes, ends Serve, and closes.
func TestDrain(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		reasons := make(chan error, 100)
		q := w.open(t, ipq.Config{Default: ipq.Accept, OnDefault: func(_ ipq.ID, err error) { reasons <- err }})
		ids := make(chan ipq.ID, 10)
		done := make(chan error, 1)
		go func() {
			done <- q.Serve(t.Context(), func(p *ipq.Packet) ipq.Verdict { ids <- p.ID; return ipq.Hold })
		}()
		var sent []parcel
		for i := range 3 {
			sent = append(sent, w.send(t, fmt.Sprint("held ", i), 0))
			soon(t, ids, "the handler")
		}
		drained := make(chan error, 1)
		go func() { drained <- q.Drain(t.Context()) }()
		if err := soon(t, done, "Serve"); !errors.Is(err, ipq.ErrDrained) {
			t.Errorf("Serve: %v", err)
		}
		if err := soon(t, drained, "Drain"); err != nil {
			t.Errorf("Drain: %v", err)
		}
		for _, p := range sent {
			w.delivered(t, p, p.data, 0)
			if err := soon(t, reasons, "OnDefault"); !errors.Is(err, ipq.ErrDrained) {
				t.Errorf("OnDefault: %v", err)
			}
		}
		if s := q.Stats(); s.Open != 0 || s.Defaulted != 3 {
			t.Errorf("stats %+v", s)
		}
		var b ipq.Batch
		if err := q.Recv(&b); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Recv after Drain: %v", err)
		}
	})
}

// A Drain that is not allowed to finish closes all the same.
func TestDrainBounded(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{})
		entered, leave := make(chan struct{}), make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- q.Serve(t.Context(), func(*ipq.Packet) ipq.Verdict { close(entered); <-leave; return ipq.Accept })
		}()
		p := w.send(t, "whose handler never returns", 0)
		soon(t, entered, "the handler")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.Drain(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Drain: %v", err)
		}
		close(leave)
		if err := soon(t, done, "Serve"); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
		w.dropped(t, p)
	})
}

// Mode changes work under flood, from any goroutine, and no packet is lost to them.
func TestSetModeUnderFlood(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{MaxLen: 8192, RecvBuffer: 4 << 20, Range: 1000})
		var metas, wholes atomic.Int32
		var last uint32
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			if last++; p.ID.Uint32() != last {
				t.Errorf("packet %v came where %d was due", p.ID, last)
			}
			if p.Has(ipq.HasPayload) {
				wholes.Add(1)
			} else {
				metas.Add(1)
			}
			return ipq.Accept
		})
		var enough atomic.Bool
		var changes sync.WaitGroup
		for range 2 {
			changes.Go(func() {
				defer enough.Store(true)
				for i := range 20 {
					mode, rng := ipq.ModeMeta, 0
					if i%2 == 1 {
						mode, rng = ipq.ModePacket, 1000
					}
					if err := q.SetMode(mode, rng); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var sent []parcel
		for i := 0; !enough.Load() || len(sent) < 200; i++ {
			sent = append(sent, w.send(t, fmt.Sprint("packet ", i), 0))
			if i >= 200 { // no more are under way at a time
				w.delivered(t, sent[i-200], sent[i-200].data, 0)
			}
		}
		changes.Wait()
		for _, p := range sent {
			w.delivered(t, p, p.data, 0)
		}
		if lost := w.loss(t); lost.QueueDropped+lost.UserDropped != 0 || int(metas.Load()+wholes.Load()) != len(sent) {
			t.Errorf("%d sent, %d + %d seen, lost %+v", len(sent), metas.Load(), wholes.Load(), lost)
		}
		t.Logf("%d packets with payload, %d without", wholes.Load(), metas.Load())
		if err := q.SetMode(ipq.ModeMeta, 0); err != nil {
			t.Fatal(err)
		}
		before := metas.Load()
		w.delivered(t, w.send(t, "after it", 0), "after it", 0)
		if metas.Load() != before+1 {
			t.Error("a packet that came after SetMode had returned was copied as before")
		}
		for _, bad := range []struct {
			mode ipq.Mode
			rng  int
		}{{2, 0}, {ipq.ModeMeta, 5}, {ipq.ModePacket, -1}, {ipq.ModePacket, 65532}, {ipq.ModePacket, 0}, {ipq.ModePacket, 1001}} {
			if err := q.SetMode(bad.mode, bad.rng); err == nil {
				t.Errorf("SetMode(%v, %d) was taken", bad.mode, bad.rng)
			}
		}
	})
}
