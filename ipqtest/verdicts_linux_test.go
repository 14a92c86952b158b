package ipqtest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ipq"
	"ipq/packet"
)

func TestVerdicts(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		next := ipq.Accept
		verdicts := make(chan ipq.Verdict, 1)
		q := w.open(t, ipq.Config{})
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			if p.Mark == 1 {
				p.SetMark(passMark, ^uint32(0)) // after Repeat, the rule lets it pass
				return ipq.Repeat
			}
			next = <-verdicts
			if next == ipq.Repeat {
				p.SetMark(1, ^uint32(0))
			}
			return next
		})
		for _, test := range []struct {
			verdict ipq.Verdict
			passes  bool
			mark    uint32
		}{
			{ipq.Accept, true, 0},
			{ipq.Drop, false, 0},
			{ipq.Stop, true, 0},
			{ipq.Repeat, true, passMark},
			{ipq.Requeue(queueNumber + 1), false, 0},      // nobody is there
			{ipq.RequeueBypass(queueNumber + 1), true, 0}, // and it does not matter
		} {
			verdicts <- test.verdict
			p := w.send(t, test.verdict.String(), 0)
			if test.passes {
				w.delivered(t, p, test.verdict.String(), test.mark)
			} else {
				w.dropped(t, p)
			}
		}
		s := q.Stats()
		if s.Accepted != 1 || s.Dropped != 1 || s.Stopped != 1 || s.Repeated != 2 || s.Requeued != 2 || s.Received != 7 || s.Open != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestMarks(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{})
		var late ipq.ID
		held := make(chan struct{}, 1)
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			if p.Mark != 0xff00ff00 {
				t.Errorf("mark %#x, want 0xff00ff00", p.Mark)
			}
			switch dataOf(p.Payload) {
			case "masked":
				p.SetMark(0xffffffaa, 0xff)
			case "whole":
				p.SetMark(0, ^uint32(0))
			case "twice":
				p.SetMark(0xff, 0xff)
				p.SetMark(0x1200, 0xff00)
			case "late":
				late = p.ID
				held <- struct{}{}
				return ipq.Hold
			}
			return ipq.Accept
		})
		for _, test := range []struct {
			data string
			mark uint32
		}{{"untouched", 0xff00ff00}, {"masked", 0xff00ffaa}, {"whole", 0}, {"twice", 0xff0012ff}, {"late", 0xaf00ff00}} {
			p := w.send(t, test.data, 0xff00ff00)
			if test.data == "late" {
				soon(t, held, "the handler")
				if err := q.SetVerdict(late, ipq.Accept, ipq.Changes{Mark: 1 << 31, MarkMask: 1<<31 | 1}, ipq.Changes{}); err == nil {
					t.Error("two Changes were taken")
				}
				if err := q.SetVerdict(late, ipq.Accept, ipq.Changes{Mark: 2, MarkMask: 1}); err == nil {
					t.Error("a mark outside of its mask was taken")
				}
				if err := q.SetVerdict(late, ipq.Accept, ipq.Changes{Mark: 0xa << 28, MarkMask: 0x5 << 28}); err == nil {
					t.Error("a mark outside of its mask was taken")
				}
				if err := q.SetVerdict(late, ipq.Accept, ipq.Changes{Mark: 0xa << 28, MarkMask: 0xf << 28}); err != nil {
					t.Error(err)
				}
			}
			w.delivered(t, p, test.data, test.mark)
		}
	})
}

func TestPayloads(t *testing.T) {
	sizes := map[string]string{
		"same":    "SAME",
		"shorter": "x",
		"empty":   "",
		"longer":  strings.Repeat("longer", 200),
		"jumbo":   strings.Repeat("j", 60000),
		"longest": strings.Repeat("l", 65531-header),
	}
	for _, way := range []string{"in place", "scratch", "late", "clone", "recv"} {
		t.Run(way, func(t *testing.T) {
			everywhere(t, func(t *testing.T, w world) {
				q := w.open(t, ipq.Config{})
				scratch := make([]byte, 0, 1<<16)
				change := func(p *ipq.Packet) ipq.Verdict {
					data := sizes[dataOf(p.Payload)]
					switch way {
					case "in place", "recv":
						if len(p.Payload) >= header+len(data) {
							b := p.Payload[:header+len(data)]
							copy(b, datagram(b, data))
							if err := p.SetPayload(b); err != nil {
								t.Error(err)
							}
							break
						}
						fallthrough
					case "scratch":
						scratch = append(scratch[:0], datagram(p.Payload, data)...)
						if err := p.SetPayload(scratch); err != nil {
							t.Error(err)
						}
						clear(scratch)
					case "late":
						id, b := p.ID, datagram(p.Payload, data)
						go func() {
							if err := q.SetVerdict(id, ipq.Accept, ipq.Changes{Payload: b}); err != nil {
								t.Error(err)
							}
							clear(b)
						}()
						return ipq.Hold
					case "clone":
						c := p.Clone()
						go func() {
							if err := c.SetPayload(datagram(c.Payload, data)); err != nil {
								t.Error(err)
							}
							if err := c.SetVerdict(ipq.Accept); err != nil {
								t.Error(err)
							}
						}()
						return ipq.Hold
					}
					return ipq.Accept
				}
				if way == "recv" {
					receive(t, q, change)
				} else {
					serve(t, q, change)
				}
				for name, data := range sizes {
					w.delivered(t, w.send(t, name, 0), data, 0)
				}
				if s := q.Stats(); s.Modified != uint64(len(sizes)) {
					t.Errorf("%d modified, want %d", s.Modified, len(sizes))
				}
			})
		})
	}
}

// receive answers packets with a loop around Recv, until the test ends.
func receive(t *testing.T, q *ipq.Queue, h ipq.Handler) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var b ipq.Batch
		for q.Recv(&b) == nil {
			for p := range b.All() {
				if v := h(p); v != ipq.Hold {
					if err := p.SetVerdict(v); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}()
	t.Cleanup(func() { q.Close(); <-done })
}

// The bytes of 64 packets of one batch, all made in the same slice, are each packet's own.
func TestScratchOfBatch(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{Range: 2000}) // small buffers make batches of 64
		var sent []parcel
		for i := range 64 {
			sent = append(sent, w.send(t, fmt.Sprint("packet ", i), 0))
		}
		until(t, "64 packets to be queued", func() bool { return w.loss(t).Waiting == 64 })
		scratch := make([]byte, 0, 2000)
		biggest := 0
		var b ipq.Batch
		for n := 0; n < 64; n += b.Len() {
			if err := q.Recv(&b); err != nil {
				t.Fatal(err)
			}
			biggest = max(biggest, b.Len())
			for p := range b.All() {
				scratch = append(scratch[:0], datagram(p.Payload, "changed "+dataOf(p.Payload))...)
				var err error
				if p.ID.Uint32()%2 == 0 {
					if err = p.SetPayload(scratch); err == nil {
						err = p.SetVerdict(ipq.Accept)
					}
				} else {
					err = q.SetVerdict(p.ID, ipq.Accept, ipq.Changes{Payload: scratch})
				}
				if err != nil {
					t.Error(err)
				}
				clear(scratch)
			}
		}
		for i, p := range sent {
			w.delivered(t, p, fmt.Sprint("changed packet ", i), 0)
		}
		if biggest != 64 {
			t.Errorf("the largest batch had %d packets, want 64", biggest)
		}
	})
}

// What cannot be sent is refused, the packet can still be answered, and it goes on as it was.
func TestPayloadsRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, w world) {
		q := w.open(t, ipq.Config{Range: header + 4})
		serve(t, q, func(p *ipq.Packet) ipq.Verdict {
			data := dataOf(p.Payload)
			if want := len(p.Payload) < p.Length; p.Truncated() != want || len(p.Payload) > header+4 {
				t.Errorf("%q: %d bytes of %d, truncated %v", data, len(p.Payload), p.Length, p.Truncated())
			}
			refused := func(b []byte, why error) {
				t.Helper()
				if err := p.SetPayload(b); err == nil || !errors.Is(err, why) {
					t.Errorf("SetPayload: %v, want %v", err, why)
				}
				if err := q.SetVerdict(p.ID, ipq.Accept, ipq.Changes{Payload: b}); err == nil || !errors.Is(err, why) {
					t.Errorf("SetVerdict: %v, want %v", err, why)
				}
			}
			switch data {
			case "trun": // cated
				refused(datagram(p.Payload, "new"), ipq.ErrTruncated)
			case "long":
				refused(make([]byte, 65532), ipq.ErrTooLong)
			case "void":
				if p.SetPayload(nil) == nil || p.SetPayload([]byte{}) == nil {
					t.Error("an empty payload was taken")
				}
			case "lies":
				b := datagram(p.Payload, "lies more")
				refused(b[:len(b)-1], packet.ErrTruncated)
			case "held":
				if err := q.SetVerdict(p.ID, ipq.Hold); !errors.Is(err, ipq.ErrInvalidVerdict) {
					t.Errorf("Hold as an answer: %v", err)
				}
				if err := q.SetVerdict(p.ID, 0); !errors.Is(err, ipq.ErrInvalidVerdict) {
					t.Errorf("no verdict as an answer: %v", err)
				}
			case "raw ": // a truncated packet may be replaced by a whole one
				whole := datagram(p.Payload, "raw and whole")
				if err := packet.UpdateChecksums(whole); err != nil {
					t.Error(err)
				}
				if err := p.SetRawPayload(whole); err != nil {
					t.Error(err)
				}
			}
			return ipq.Accept
		})
		for _, data := range []string{"truncated", "long", "void", "lies", "held"} {
			w.delivered(t, w.send(t, data, 0), data, 0)
		}
		w.delivered(t, w.send(t, "raw and cut", 0), "raw and whole", 0)
		if s := q.Stats(); s.Modified != 1 || s.Gone+s.VerdictErrors != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}
