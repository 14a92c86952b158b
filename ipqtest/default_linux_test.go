package ipqtest_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"ipq"
)

// Where the program gives no verdict, Config.Default does, and the program is told why.
func TestDefault(t *testing.T) {
	boom := errors.New("boom")
	for _, verdict := range []ipq.Verdict{0, ipq.Accept} {
		t.Run(fmt.Sprint("default ", uint32(verdict)), func(t *testing.T) {
			everywhere(t, func(t *testing.T, w world) {
				type told struct {
					id  ipq.ID
					err error
				}
				reasons := make(chan told, 10)
				q := w.open(t, ipq.Config{Default: verdict, HandlerTimeout: 20 * time.Millisecond,
					OnDefault: func(id ipq.ID, err error) { reasons <- told{id, err} }})
				release := make(chan struct{})
				defer close(release)
				seen := make(chan ipq.ID, 10)
				serve(t, q, func(p *ipq.Packet) ipq.Verdict {
					seen <- p.ID
					p.SetMark(99, ^uint32(0)) // no change is carried out that has no verdict of its own
					switch dataOf(p.Payload) {
					case "panics":
						panic(boom)
					case "forgets":
						return 0
					case "invents":
						return 12345
					case "stalls":
						<-release
					}
					return ipq.Accept
				})
				for _, test := range []struct {
					data string
					why  error
				}{
					{"panics", boom},
					{"forgets", ipq.ErrInvalidVerdict},
					{"invents", ipq.ErrInvalidVerdict},
					{"stalls", ipq.ErrHandlerTimeout},
				} {
					p := w.send(t, test.data, 5)
					if verdict == ipq.Accept {
						w.delivered(t, p, test.data, 5)
					} else {
						w.dropped(t, p)
					}
					got, id := soon(t, reasons, "OnDefault"), soon(t, seen, "the handler")
					if got.id != id || !errors.Is(got.err, test.why) {
						t.Errorf("%s: OnDefault(%v, %v), want %v and %v", test.data, got.id, got.err, id, test.why)
					}
					var panicked *ipq.PanicError
					if test.why == boom && (!errors.As(got.err, &panicked) || panicked.Value != any(boom) || len(panicked.Stack) == 0) {
						t.Errorf("a panic is told as %#v", got.err)
					}
				}
				p := w.send(t, "behind them", 0)
				w.delivered(t, p, "behind them", 99)
				if s := q.Stats(); s.Defaulted != 4 || s.Received != 5 || s.Open != 0 || len(reasons) != 0 {
					t.Errorf("stats %+v, %d more were told of", s, len(reasons))
				}
			})
		})
	}
}

// A slow handler that is in time, or has no bound, keeps nobody's verdict back: not even those of its own batch.
func TestSlowHandler(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{Range: 1000})
		first, second := w.send(t, "first", 0), w.send(t, "second", 0)
		until(t, "both to be queued", func() bool { return w.loss(t).Waiting == 2 })
		release := make(chan struct{})
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			if dataOf(p.Payload) == "second" {
				<-release
			}
			return ipq.Accept
		})
		w.delivered(t, first, "first", 0)
		close(release)
		w.delivered(t, second, "second", 0)
	})
}

// Verdicts for packets that the kernel no longer has are told with the packet's id, and counted.
func TestVerdictErrors(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		type told struct {
			id  ipq.ID
			err error
		}
		refused := make(chan told, 10)
		q := w.open(t, ipq.Config{OnVerdictError: func(id ipq.ID, err error) { refused <- told{id, err} }})
		ids := hold(t, q)
		var gone []ipq.ID
		for i := range 3 {
			w.send(t, fmt.Sprint("flushed ", i), 0)
			gone = append(gone, soon(t, ids, "the handler"))
		}
		w.flush(t)
		p := w.send(t, "after it", 0)
		last := soon(t, ids, "the handler")
		for _, i := range []int{2, 0, 1} {
			if err := q.SetVerdict(gone[i], ipq.Accept); err != nil {
				t.Fatal(err)
			}
			if got := soon(t, refused, "OnVerdictError"); got.id != gone[i] || !errors.Is(got.err, ipq.ErrPacketGone) {
				t.Errorf("OnVerdictError(%v, %v), want packet %v gone", got.id, got.err, gone[i])
			}
		}
		if err := q.SetVerdict(last, ipq.Accept); err != nil {
			t.Fatal(err)
		}
		w.delivered(t, p, "after it", 0)
		if s := q.Stats(); s.Gone != 3 || s.VerdictErrors != 0 || s.Open != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Without OnDefault a panic goes on through Serve, as does the end of the handler's goroutine, but no packet is left
// behind, and the queue can be served again.
func TestHandlerDoesNotReturn(t *testing.T) {
	for _, end := range []string{"panic", "goexit"} {
		t.Run(end, func(t *testing.T) {
			everywhere(t, func(t *testing.T, w world) {
				q := w.open(t, ipq.Config{Range: 1000, Default: ipq.Accept})
				var sent []parcel
				for i := range 3 {
					sent = append(sent, w.send(t, fmt.Sprint("packet ", i), 0))
				}
				until(t, "3 packets to be queued", func() bool { return w.loss(t).Waiting == 3 })
				ended := make(chan any, 1)
				go func() {
					defer func() { ended <- recover() }()
					q.Serve(t.Context(), func(p *ipq.Packet) ipq.Verdict {
						switch {
						case p.ID.Uint32() == 1:
							return ipq.Drop
						case end == "panic":
							panic("boom")
						}
						runtime.Goexit()
						return ipq.Drop
					})
				}()
				if value := soon(t, ended, "the goroutine to end"); (value == any("boom")) != (end == "panic") {
					t.Errorf("the panic is %v", value)
				}
				w.delivered(t, sent[1], sent[1].data, 0) // by Default, like the rest of its batch
				serve(t, q, func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
				w.delivered(t, sent[2], sent[2].data, 0)
				w.delivered(t, w.send(t, "served again", 0), "served again", 0)
				w.dropped(t, sent[0])
				if s := q.Stats(); s.Open != 0 || s.Defaulted != 2 || s.Dropped != 1 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

// What is held for too long is answered, and nothing else.
func TestHoldTimeout(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		type late struct {
			id  ipq.ID
			err error
		}
		told := make(chan late, 10)
		q := w.open(t, ipq.Config{HoldTimeout: time.Second, OnDefault: func(id ipq.ID, err error) { told <- late{id, err} }})
		ids := hold(t, q)
		answered, forgotten := w.send(t, "answered", 0), w.send(t, "forgotten", 0)
		first, second := soon(t, ids, "the handler"), soon(t, ids, "the handler")
		if err := q.SetVerdict(first, ipq.Accept); err != nil {
			t.Fatal(err)
		}
		if l := soon(t, told, "OnDefault"); l.id != second || !errors.Is(l.err, ipq.ErrHoldTimeout) {
			t.Errorf("told of packet %v: %v", l.id, l.err)
		}
		w.delivered(t, answered, answered.data, 0)
		w.dropped(t, forgotten)
		if err := q.SetVerdict(second, ipq.Accept); !errors.Is(err, ipq.ErrAnswered) {
			t.Errorf("an answer that comes too late: %v", err)
		}
		if s := q.Stats(); s.Defaulted != 1 || len(told) != 0 {
			t.Errorf("stats %+v, told of %d more", s, len(told))
		}
	})
}
