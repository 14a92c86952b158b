package ipq_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/wire"
	"ipq/ipqtest"
)

// The tests in this file each hold a way in which a verdict, or a wait, was or could be lost.

// An answer that comes while another goroutine has just finished sending leaves all the same, though no packet follows
// that would make somebody send again.
func TestAnswerBesideSender(t *testing.T) {
	k, q := fake(t, ipq.Config{})
	ids := make(chan ipq.ID)
	stop := serve(t, q, func(p *ipq.Packet) ipq.Verdict { ids <- p.ID; return ipq.Hold })
	go func() {
		for id := range ids { // while the receive loop sends nothing, and goes to sleep
			q.SetVerdict(id, ipq.Accept)
		}
	}()
	for range 3000 {
		k.Inject(ipqtest.Packet{}).Result()
	}
	stop()
	close(ids)
}

// A packet that cannot be read is answered at once, also when it is all that came.
func TestUnreadablePacketAlone(t *testing.T) {
	broken := wire.Pad(packetMessage(1, "x"))
	broken = append(broken, 200, 0, 3, 0) // an attribute of 200 bytes, of which four are there
	wire.Shorten(broken)
	for _, recv := range []bool{false, true} {
		t.Run(fmt.Sprintf("recv=%v", recv), func(t *testing.T) {
			var told atomic.Uint32
			p, q := newPeer(t, ipq.Config{OnDefault: func(id ipq.ID, err error) { told.Store(id.Uint32()) }})
			if recv {
				p.send(broken)
				p.packet(2, "y")
				var b ipq.Batch
				if err := q.Recv(&b); err != nil { // and then nothing: the program thinks
					t.Fatal(err)
				}
			} else {
				serve(t, q, func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
				p.send(broken)
			}
			if v, isRange := p.verdict(); v.ID != 1 || v.Verdict != wire.NFDrop || isRange || told.Load() != 1 {
				t.Errorf("verdict %+v (range %v), OnDefault told of packet %d", v, isRange, told.Load())
			}
		})
	}
}

// A packet whose message was cut exactly where an attribute ends looks whole, without its payload.
func TestPacketCutBetweenAttributes(t *testing.T) {
	for _, through := range []string{"Recv", "SetMode"} { // which keeps what it receives for others
		t.Run(through, func(t *testing.T) {
			why := make(chan error, 1)
			p, q := newPeer(t, ipq.Config{Range: 64, OnDefault: func(_ ipq.ID, err error) { why <- err }})
			w := wire.Packet{ID: 1, Fields: wire.HasL2Header | wire.HasPayload, Payload: []byte("behind the end")}
			for size := 0; ; size += 4 {
				w.L2Header = make([]byte, size)
				m := wire.AppendPacket(nil, &w)
				if len(m)-4-len(w.Payload) == 64+512 { // the size of a receive buffer
					p.send(m)
					break
				}
			}
			if through == "SetMode" {
				done := make(chan error, 1)
				go func() { done <- q.SetMode(ipq.ModePacket, 64) }()
				p.ack(p.expect(wire.TypeConfig))
				if err := soon(t, done, "SetMode"); err != nil {
					t.Fatal(err)
				}
			}
			serve(t, q, func(*ipq.Packet) ipq.Verdict { t.Error("the handler was called"); return ipq.Accept })
			if v, _ := p.verdict(); v.ID != 1 || v.Verdict != wire.NFDrop {
				t.Errorf("verdict %+v", v)
			}
			if err := soon(t, why, "OnDefault"); !errors.Is(err, wire.ErrShort) {
				t.Errorf("OnDefault: %v", err)
			}
		})
	}
}

// Whatever ids come, each packet can be answered once, unless a later one says that the queue has been bound anew, and an
// answer for one never covers another.
func TestIDsOutOfOrder(t *testing.T) {
	p, q := newPeer(t, ipq.Config{})
	ids := []uint32{10, 5, 5, 0xffffffff, 0, 0x80000000, 1}
	go func() {
		for _, id := range ids {
			p.packet(id, "x")
		}
	}()
	var held []ipq.ID
	for len(held) < len(ids) {
		var b ipq.Batch
		if err := q.Recv(&b); err != nil {
			t.Fatal(err)
		}
		for x := range b.All() {
			held = append(held, x.ID)
		}
	}
	var got, want []uint32
	for i, id := range held {
		if id.Uint32() != ids[i] {
			t.Errorf("packet %d has id %d, want %d", i, id.Uint32(), ids[i])
		}
		if slices.Contains(held[:i], id) {
			t.Errorf("two packets have the same ID %v", id)
		}
		err := q.SetVerdict(id, ipq.Accept)
		if errors.Is(err, ipq.ErrAnswered) && i < len(held)-1 {
			continue
		}
		if err != nil {
			t.Error(err)
		}
		if i < len(held)-1 {
			want = append(want, id.Uint32())
			v, isRange := p.verdict()
			if isRange {
				t.Errorf("a range verdict up to %d while others are held", v.ID)
			}
			got = append(got, v.ID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("verdicts for %v, want %v", got, want)
	}
	for _, id := range held {
		if err := q.SetVerdict(id, ipq.Accept); !errors.Is(err, ipq.ErrAnswered) {
			t.Errorf("second answer for %v: %v", id, err)
		}
	}
}

// The end of a context ends Serve also when something else moves the deadline of the socket at that moment.
func TestContextEndsWhileDeadlineMoves(t *testing.T) {
	t.Run("SetMode", func(t *testing.T) {
		p, q := newPeer(t, ipq.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done, mode := make(chan error, 1), make(chan error, 1)
		go func() {
			done <- q.Serve(ctx, func(*ipq.Packet) ipq.Verdict {
				mode <- q.SetMode(ipq.ModeMeta, 0) // reads for itself, as nobody else does
				return ipq.Accept
			})
		}()
		p.packet(1, "x")
		h := p.expect(wire.TypeConfig)
		cancel()
		woken := make(chan struct{})
		context.AfterFunc(ctx, func() { close(woken) })
		<-woken
		runtime.Gosched()
		p.ack(h)
		if err := soon(t, mode, "SetMode"); err != nil {
			t.Errorf("SetMode: %v", err)
		}
		if err := soon(t, done, "Serve"); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Run("SetReadDeadline", func(t *testing.T) {
		k, q := fake(t, ipq.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- q.Serve(ctx, func(*ipq.Packet) ipq.Verdict {
				cancel()
				for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
					q.SetReadDeadline(time.Time{})
				}
				return ipq.Accept
			})
		}()
		k.Inject(ipqtest.Packet{})
		if err := soon(t, done, "Serve"); !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// An acknowledgement that the receive loop takes ends the wait of a SetMode that has begun to read itself: packets must not
// wait for a deadline of which nobody knows any more.
func TestAcknowledgementBesideReceiveLoop(t *testing.T) {
	overrun, release := make(chan struct{}), make(chan struct{})
	letGo := sync.OnceFunc(func() { close(release) })
	handling := make(chan struct{})
	p, q := newPeer(t, ipq.Config{OnOverrun: func(uint64) { close(overrun); <-release }})
	serve(t, q, func(*ipq.Packet) ipq.Verdict { handling <- struct{}{}; <-handling; return ipq.Accept })
	t.Cleanup(letGo)
	p.packet(1, "x")
	soon(t, handling, "the handler")
	// Both are received together, when the handler returns; the loop is then busy with the first.
	p.send(wire.AppendOverrun(nil))
	p.ack(wire.Header{Type: wire.TypeConfig, Seq: 2})
	close(handling)
	soon(t, overrun, "OnOverrun")
	p.verdict()
	done := make(chan error, 1)
	go func() { done <- q.SetMode(ipq.ModeMeta, 0) }()
	if h := p.expect(wire.TypeConfig); h.Seq != 2 {
		t.Fatalf("the request has number %d, the test expected 2", h.Seq)
	}
	for start := time.Now(); time.Since(start) < 10*time.Millisecond; {
		runtime.Gosched() // SetMode begins to read; if it has not, the test shows less
	}
	letGo()
	if err := soon(t, done, "SetMode"); err != nil {
		t.Errorf("SetMode: %v", err)
	}
}

// Refused verdicts that come while SetMode reads are told by the receive loop, and nowhere else.
func TestRefusedVerdictsBesideSetMode(t *testing.T) {
	var serving atomic.Bool
	gone := make(chan uint32, 1000)
	k, q := fake(t, ipq.Config{OnVerdictError: func(id ipq.ID, err error) {
		if !serving.Load() || !errors.Is(err, ipq.ErrPacketGone) {
			t.Errorf("OnVerdictError(%v, %v), serving %v", id, err, serving.Load())
		}
		gone <- id.Uint32()
	}})
	var b ipq.Batch
	var ids []ipq.ID
	for len(ids) < 100 {
		k.Inject(ipqtest.Packet{})
		if err := q.Recv(&b); err != nil {
			t.Fatal(err)
		}
		for p := range b.All() {
			ids = append(ids, p.ID)
		}
	}
	k.Flush()
	for _, id := range ids[:50] { // with a mark each, so that no range can answer for several
		if err := q.SetVerdict(id, ipq.Accept, ipq.Changes{Mark: id.Uint32(), MarkMask: ^uint32(0)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.SetMode(ipq.ModeMeta, 0); err != nil {
		t.Fatal(err)
	}
	serving.Store(true)
	stop := serve(t, q, func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
	for i := range 50 {
		if id := soon(t, gone, "OnVerdictError"); id != ids[i].Uint32() {
			t.Errorf("told of packet %d, want %v", id, ids[i])
		}
	}
	var all sync.WaitGroup
	all.Go(func() {
		for range 20 {
			q.SetMode(ipq.ModeMeta, 0)
		}
	})
	for _, id := range ids[50:] {
		q.SetVerdict(id, ipq.Accept, ipq.Changes{Mark: id.Uint32(), MarkMask: ^uint32(0)})
		k.Inject(ipqtest.Packet{})
	}
	all.Wait()
	for range 50 {
		soon(t, gone, "OnVerdictError")
	}
	stop()
}

// Drain gets to read although the program calls Recv again and again, and the program is told why it cannot.
func TestDrainAgainstRecv(t *testing.T) {
	k, q := fake(t, ipq.Config{Default: ipq.Accept})
	reading, done := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		for {
			var b ipq.Batch
			select {
			case reading <- struct{}{}:
			default:
			}
			if err := q.Recv(&b); errors.Is(err, ipq.ErrDrained) || errors.Is(err, os.ErrClosed) {
				done <- err
				return
			}
		}
	}()
	<-reading
	e := k.Inject(ipqtest.Packet{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := q.Drain(ctx); err != nil {
		t.Errorf("Drain: %v", err)
	}
	soon(t, done, "Recv")
	if r := e.Result(); r.Fate != ipqtest.Answered || r.Verdict != ipq.Accept {
		t.Errorf("the packet: %v, %v", r.Fate, r.Verdict)
	}
	var b ipq.Batch
	if err := q.Recv(&b); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Recv after Drain: %v", err)
	}
}

// Close returns although the other end of the socketpair takes nothing any more.
func TestCloseWithDeafPeer(t *testing.T) {
	p, q := newPeer(t, ipq.Config{})
	stuck := make(chan struct{})
	var since atomic.Int64 // of the SetVerdict that is under way
	begin := time.Now()
	go func() {
		defer close(stuck)
		big := make([]byte, 60000)
		big[0] = 0x45
		for id := uint32(1); ; id++ {
			p.packet(id, "x")
			var b ipq.Batch
			if err := q.Recv(&b); err != nil {
				return
			}
			for x := range b.All() {
				since.Store(int64(time.Since(begin)))
				if x.SetRawPayload(big) != nil || x.SetVerdict(ipq.Accept) != nil {
					return
				}
			}
		}
	}()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for time.Since(begin)-time.Duration(since.Load()) < 50*time.Millisecond {
			runtime.Gosched()
		}
		q.Close()
	}()
	soon(t, closed, "Close")
	soon(t, stuck, "Recv and SetVerdict after Close")
}

// Packets that came before the other end hung up are still answered.
func TestPeerHangsUpHalfway(t *testing.T) {
	p, q := newPeer(t, ipq.Config{})
	for id := uint32(1); id <= 3; id++ {
		p.packet(id, "x")
	}
	raw, err := p.file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) })
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	if err := q.Serve(t.Context(), func(*ipq.Packet) ipq.Verdict { calls++; return ipq.Accept }); err == nil || errors.Is(err, os.ErrClosed) {
		t.Errorf("Serve: %v, want that the other end is gone", err)
	}
	// One verdict for all three, unless the machine was slow and the first ones did not wait for it.
	for last := uint32(0); last < 3; {
		v, isRange := p.verdict()
		if v.Verdict != wire.NFAccept || v.ID <= last || v.ID != last+1 && !isRange {
			t.Fatalf("after packet %d the verdict %+v (range %v)", last, v, isRange)
		}
		last = v.ID
	}
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
}

// What a handler writes over its Packet does not decide which packet its verdict is for.
func TestHandlerOverwritesPacket(t *testing.T) {
	for _, c := range []ipq.Config{{}, {HandlerTimeout: time.Minute}} {
		k, q := fake(t, c)
		var entries []*ipqtest.Entry
		for range 10 {
			entries = append(entries, k.Inject(ipqtest.Packet{}))
		}
		var first *ipq.Packet
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			switch id := p.ID.Uint32(); {
			case id == 1:
				first = p.Clone()
			case id == 4:
				p.SetVerdict(ipq.Accept)
				*p = ipq.Packet{}
			case id%2 == 0:
				*p = ipq.Packet{}
			default:
				*p = *first
			}
			return ipq.Accept
		})
		for i, e := range entries {
			if r := e.Result(); r.Fate != ipqtest.Answered || r.Verdict != ipq.Accept {
				t.Errorf("packet %d: %v, %v", i+1, r.Fate, r.Verdict)
			}
		}
	}
}

// A packet that is held stays so when Serve ends because the answers to its batch could not be sent.
func TestHeldWhenSendFails(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Minute} {
		p, q := newPeer(t, ipq.Config{HandlerTimeout: timeout, OnDefault: func(id ipq.ID, err error) {
			t.Errorf("packet %v was answered by Default: %v", id, err)
		}})
		p.packet(1, "held")
		p.packet(2, "accepted")
		err := q.Serve(t.Context(), func(packet *ipq.Packet) ipq.Verdict {
			if packet.ID.Uint32() == 1 {
				return ipq.Hold
			}
			p.file.Close()
			return ipq.Accept
		})
		if err == nil || q.Stats().Open != 1 {
			t.Errorf("Serve: %v, then %d packets open, want an error and 1", err, q.Stats().Open)
		}
	}
}

// A handler that ends its goroutine, after its time was up, ends nothing else.
func TestLateHandlerEndsItsGoroutine(t *testing.T) {
	k, q := fake(t, ipq.Config{HandlerTimeout: 5 * time.Millisecond, OnDefault: func(ipq.ID, error) {}})
	release := make(chan struct{})
	var calls atomic.Int32
	serve(t, q, func(p *ipq.Packet) ipq.Verdict {
		if calls.Add(1) == 1 {
			<-release
			runtime.Goexit()
		}
		return ipq.Accept
	})
	if r := k.Inject(ipqtest.Packet{}).Result(); r.Verdict != ipq.Drop {
		t.Errorf("the late packet: %v", r.Verdict)
	}
	close(release)
	for i := range 200 {
		if r := k.Inject(ipqtest.Packet{}).Result(); r.Verdict != ipq.Accept {
			t.Fatalf("packet %d behind it: %v", i, r.Verdict)
		}
	}
}

// Handlers that never return do not keep Serve from ending, however many they are.
func TestEndWithStuckHandlers(t *testing.T) {
	for _, end := range []string{"context", "Close", "Drain"} {
		t.Run(end, func(t *testing.T) {
			k, q := fake(t, ipq.Config{HandlerTimeout: time.Millisecond})
			release := make(chan struct{})
			defer close(release)
			var stuck atomic.Int32
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				done <- q.Serve(ctx, func(*ipq.Packet) ipq.Verdict {
					stuck.Add(1)
					<-release
					return ipq.Accept
				})
			}()
			for range 17 { // one more than may be late at the same time
				if r := k.Inject(ipqtest.Packet{}).Result(); r.Verdict != ipq.Drop {
					t.Errorf("a stuck packet: %v", r.Verdict)
				}
			}
			switch end {
			case "context":
				cancel()
			case "Close":
				q.Close()
			case "Drain":
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				q.Drain(ctx)
			}
			if err := soon(t, done, "Serve"); err == nil {
				t.Error("Serve ended without an error")
			}
			cancel()
			if n := stuck.Load(); n != 17 {
				t.Errorf("%d handlers were called, want 17", n)
			}
		})
	}
}

// A batch cannot be taken to another queue: the first one may still have to look into it.
func TestBatchOfAnotherQueue(t *testing.T) {
	k, q := fake(t, ipq.Config{})
	k.Inject(ipqtest.Packet{})
	var b ipq.Batch
	if err := q.Recv(&b); err != nil {
		t.Fatal(err)
	}
	k2, q2 := fake(t, ipq.Config{})
	k2.Inject(ipqtest.Packet{})
	if err := q2.Recv(&b); err == nil {
		t.Error("received into the batch of another queue")
	}
	if err := b.Packet(0).SetVerdict(ipq.Accept); err != nil {
		t.Error(err)
	}
}

// A queue that is owned by another user of a socketpair's kernel is busy, whatever privileges this process has.
func TestBusyOnSocketpair(t *testing.T) {
	k, _ := fake(t, ipq.Config{})
	_, err := ipq.Open(ipq.Config{File: k.File()})
	if !errors.Is(err, ipq.ErrQueueBusy) || strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("Open of an owned queue: %v", err)
	}
}
