package ipqtest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"ipq"
	"ipq/ipqtest"
)

// hold makes q hold every packet, and sends its ID.
func hold(t *testing.T, q *ipq.Queue) <-chan ipq.ID {
	t.Helper()
	ids := make(chan ipq.ID, 1000)
	serve(t, q, func(p *ipq.Packet) ipq.Verdict { ids <- p.ID; return ipq.Hold })
	return ids
}

// Ids begin at 1 and go up by one; held packets are answered in any order, and an answer reaches its packet alone.
func TestOutOfOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{})
		ids := hold(t, q)
		var sent []parcel
		var held []ipq.ID
		for i := range 100 {
			sent = append(sent, w.send(t, fmt.Sprint("packet ", i), 0))
			id := soon(t, ids, "the handler")
			if id.Uint32() != uint32(i+1) {
				t.Errorf("packet %d has id %v", i, id)
			}
			held = append(held, id)
		}
		rest := rand.Perm(100)
		for n, i := range rest {
			until(t, fmt.Sprintf("the packets that wait to be %d", 100-n), func() bool { return w.loss(t).Waiting == uint32(100-n) })
			v := []ipq.Verdict{ipq.Accept, ipq.Drop}[i%2]
			if err := q.SetVerdict(held[i], v); err != nil {
				t.Fatal(err)
			}
		}
		for i, p := range sent {
			if i%2 == 0 {
				w.delivered(t, p, p.data, 0)
			} else {
				w.dropped(t, p)
			}
		}
	})
}

// Packets that are answered at once, many together, leave the ones between them held.
func TestHeldAmongOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{Range: 1000})
		var sent []parcel
		for i := range 300 {
			sent = append(sent, w.send(t, fmt.Sprint("packet ", i), 0))
		}
		ids := make(chan ipq.ID, 300)
		keep := func(id uint32) bool { return id%37 == 0 || id == 1 || id == 300 }
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			if keep(p.ID.Uint32()) {
				ids <- p.ID
				return ipq.Hold
			}
			if p.ID.Uint32()%5 == 0 {
				return ipq.Drop
			}
			return ipq.Accept
		})
		var held []ipq.ID
		for range 10 {
			held = append(held, soon(t, ids, "the handler"))
		}
		until(t, "the others to be answered", func() bool { return w.loss(t).Waiting <= 10 })
		if n := w.loss(t).Waiting; n != 10 {
			t.Fatalf("%d packets wait, want the 10 that are held", n)
		}
		for i, p := range sent {
			if id := uint32(i + 1); !keep(id) && id%5 != 0 {
				w.delivered(t, p, p.data, 0)
			}
		}
		slices.Reverse(held)
		for _, id := range held {
			if err := q.SetVerdict(id, ipq.Accept); err != nil {
				t.Error(err)
			}
		}
		for i, p := range sent {
			if id := uint32(i + 1); keep(id) {
				w.delivered(t, p, p.data, 0)
			} else if id%5 == 0 {
				w.dropped(t, p)
			}
		}
	})
}

// Answers come late, from many goroutines at once, beside packets that are answered in their turn.
func TestLateAnswers(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		gone := make(chan error, 1000)
		q := w.open(t, ipq.Config{Range: 1000, OnVerdictError: func(id ipq.ID, err error) { gone <- fmt.Errorf("packet %v: %w", id, err) }})
		ids := make(chan ipq.ID, 1000)
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			if p.ID.Uint32() == 300 {
				defer close(ids)
			}
			if p.ID.Uint32()%4 == 0 {
				return ipq.Accept
			}
			ids <- p.ID
			return ipq.Hold
		})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				var kept []ipq.ID // answered later than those that come after
				for id := range ids {
					if rand.N(3) == 0 {
						kept = append(kept, id)
					} else if err := q.SetVerdict(id, verdictOf(id)); err != nil {
						t.Error(err)
					}
				}
				for _, id := range kept {
					if err := q.SetVerdict(id, verdictOf(id)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		var sent []parcel
		for i := range 300 {
			sent = append(sent, w.send(t, fmt.Sprint("packet ", i), 0))
		}
		all.Wait()
		for i, p := range sent {
			if (i+1)%4 == 0 || (i+1)%3 != 0 {
				w.delivered(t, p, p.data, 0)
			} else {
				w.dropped(t, p)
			}
		}
		if s := q.Stats(); s.Open != 0 || s.Accepted+s.Dropped != 300 || s.Gone+s.VerdictErrors+s.Malformed != 0 {
			t.Errorf("stats %+v", s)
		}
		select {
		case err := <-gone:
			t.Error(err)
		default:
		}
	})
}

func verdictOf(id ipq.ID) ipq.Verdict {
	if id.Uint32()%3 == 0 {
		return ipq.Drop
	}
	return ipq.Accept
}

// Only the first answer counts, whoever gives it, and nobody can answer for a packet that is not his.
func TestAnsweredOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{})
		ids := make(chan ipq.ID, 1)
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			ids <- p.ID
			switch dataOf(p.Payload) {
			case "early": // before the handler returns
				if err := q.SetVerdict(p.ID, ipq.Drop); err != nil {
					t.Error(err)
				}
				if err := p.SetVerdict(ipq.Accept); !errors.Is(err, ipq.ErrAnswered) {
					t.Errorf("second answer in the handler: %v", err)
				}
				return ipq.Accept
			case "early and held":
				if err := p.SetVerdict(ipq.Drop); err != nil {
					t.Error(err)
				}
				return ipq.Hold
			}
			return ipq.Hold
		})
		for _, data := range []string{"early", "early and held", "held"} {
			p := w.send(t, data, 0)
			id := soon(t, ids, "the handler")
			if data == "held" {
				until(t, "it to be held", func() bool { return q.SetVerdict(id, ipq.Drop) == nil })
			}
			w.dropped(t, p)
			if err := q.SetVerdict(id, ipq.Accept); !errors.Is(err, ipq.ErrAnswered) {
				t.Errorf("%s: another answer: %v", data, err)
			}
		}
		if err := q.SetVerdict(ipq.ID{}, ipq.Accept); !errors.Is(err, ipq.ErrAnswered) {
			t.Errorf("answer for no packet: %v", err)
		}

		// The same number in another life of the queue is another packet.
		p := w.send(t, "of the first queue", 0)
		old := soon(t, ids, "the handler")
		q.Close()
		w.dropped(t, p)
		if err := q.SetVerdict(old, ipq.Accept); !errors.Is(err, os.ErrClosed) {
			t.Errorf("answer after Close: %v", err)
		}
		again := w.open(t, ipq.Config{})
		newIDs := hold(t, again)
		for old.Uint32() != 0 {
			p = w.send(t, "of the second queue", 0)
			id := soon(t, newIDs, "the handler")
			if id.Uint32() == old.Uint32() {
				if err := again.SetVerdict(old, ipq.Accept); !errors.Is(err, ipq.ErrAnswered) {
					t.Errorf("answer for a packet of the queue before: %v", err)
				}
				again.SetVerdict(id, ipq.Drop)
				break
			}
			again.SetVerdict(id, ipq.Drop)
		}
		w.dropped(t, p)
	})
}

// More than MaxHeld packets are not held: Default answers, and the program is told.
func TestMaxHeld(t *testing.T) {
	for _, recv := range []bool{false, true} {
		t.Run(fmt.Sprintf("recv=%v", recv), func(t *testing.T) {
			everywhere(t, func(t *testing.T, w world) {
				told := make(chan error, 10)
				q := w.open(t, ipq.Config{MaxHeld: 3, OnDefault: func(id ipq.ID, err error) { told <- err }})
				ids := make(chan ipq.ID, 10)
				next := func(p *ipq.Packet) ipq.Verdict {
					ids <- p.ID
					if dataOf(p.Payload) == "last" {
						return ipq.Drop
					}
					return ipq.Hold
				}
				if recv {
					receive(t, q, next)
				} else {
					serve(t, q, next)
				}
				send := func(data string) (parcel, ipq.ID) {
					return w.send(t, data, 0), soon(t, ids, "the handler")
				}
				var sent []parcel
				var held []ipq.ID
				for i := range 3 {
					p, id := send(fmt.Sprint("held ", i))
					sent, held = append(sent, p), append(held, id)
				}
				over, _ := send("one too many")
				if recv {
					send("last") // a turn ends with the next Recv
				}
				if err := soon(t, told, "OnDefault"); !errors.Is(err, ipq.ErrTooManyHeld) {
					t.Errorf("OnDefault: %v", err)
				}
				if err := q.SetVerdict(held[1], ipq.Accept); err != nil {
					t.Error(err)
				}
				w.delivered(t, sent[1], sent[1].data, 0)
				another, id := send("in its place")
				if err := q.SetVerdict(held[0], ipq.Accept); err != nil {
					t.Error(err)
				}
				if err := q.SetVerdict(held[2], ipq.Accept); err != nil {
					t.Error(err)
				}
				w.delivered(t, sent[0], sent[0].data, 0)
				w.delivered(t, sent[2], sent[2].data, 0)
				if err := q.SetVerdict(id, ipq.Accept); err != nil {
					t.Error(err)
				}
				w.delivered(t, another, another.data, 0)
				w.dropped(t, over)
				if len(told) != 0 {
					t.Errorf("OnDefault was told of another packet: %v", <-told)
				}
			})
		})
	}
}

// Some packets are held for so long that thousands of others come and go: the bound counts what is held, and nothing else.
func TestHeldForLong(t *testing.T) {
	const most, keep = 40, 17
	refused := make(chan ipq.ID, 10)
	k, q := fake(t, ipq.Config{MaxHeld: most, OnDefault: func(id ipq.ID, err error) {
		if !errors.Is(err, ipq.ErrTooManyHeld) {
			t.Errorf("OnDefault: %v", err)
		}
		refused <- id
	}})
	ids := hold(t, q)
	next := func() (*ipqtest.Entry, ipq.ID) { return k.Inject(ipqtest.Packet{}), soon(t, ids, "the handler") }
	var kept []ipq.ID
	for i := range 2000 {
		e, id := next()
		if i%100 == 50 && len(kept) < keep {
			kept = append(kept, id)
			continue
		}
		until(t, "it to be held, and answered", func() bool { return q.SetVerdict(id, ipq.Accept) == nil })
		if r := e.Result(); r.Verdict != ipq.Accept {
			t.Fatalf("packet %d: %v, %v", e.ID, r.Fate, r.Verdict)
		}
	}
	for range most - keep {
		_, id := next()
		kept = append(kept, id)
	}
	e, id := next()
	if got := soon(t, refused, "OnDefault"); got != id || e.Result().Verdict != ipq.Drop {
		t.Errorf("told of packet %v, which was answered by %v: want %v, dropped", got, e.Result().Verdict, id)
	}
	if len(refused) != 0 {
		t.Errorf("packet %v was refused, though fewer than %d were held", <-refused, most)
	}
	for _, i := range rand.Perm(len(kept)) {
		if err := q.SetVerdict(kept[i], ipq.Accept); err != nil {
			t.Error(err)
		}
	}
	until(t, "the answers to be sent", func() bool { return k.Stats(0).Waiting == 0 })
	if s := q.Stats(); s.Open != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A handler's return and another goroutine's answer race for each packet: one wins, and its verdict is the packet's.
func TestAnswersRace(t *testing.T) {
	k, q := fake(t, ipq.Config{OnVerdictError: func(id ipq.ID, err error) { t.Errorf("packet %v: %v", id, err) }})
	ids, early := make(chan ipq.ID), make(chan bool)
	go func() {
		defer close(early)
		for id := range ids {
			err := q.SetVerdict(id, ipq.Drop)
			if err != nil && !errors.Is(err, ipq.ErrAnswered) {
				t.Error(err)
			}
			early <- err == nil
		}
	}()
	stop := serve(t, q, func(p *ipq.Packet) ipq.Verdict {
		ids <- p.ID
		for range rand.N(3) {
			runtime.Gosched()
		}
		if p.ID.Uint32()%2 == 0 {
			return ipq.Accept
		}
		return ipq.Repeat
	})
	won := 0
	for range 2000 {
		e := k.Inject(ipqtest.Packet{})
		want := ipq.Drop
		if !soon(t, early, "the other answer") {
			won++
			want = []ipq.Verdict{ipq.Accept, ipq.Repeat}[e.ID%2]
		}
		if r := e.Result(); r.Verdict != want {
			t.Errorf("packet %d: %v, want %v", e.ID, r.Verdict, want)
		}
	}
	stop()
	close(ids)
	<-early
	if s := q.Stats(); s.Open != 0 || s.Gone != 0 || s.Received != s.Accepted+s.Dropped+s.Repeated {
		t.Errorf("stats %+v", s)
	}
	t.Logf("the handler won %d times of 2000", won)
}
