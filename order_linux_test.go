package ipq_test

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"ipq"
	"ipq/internal/wire"
)

// answered is an answer that a program gave.
type answered struct {
	id      uint32
	verdict uint32
	mark    uint32
}

// program receives n packets and answers those that order names, which it may not do twice, and returns the answers
// and what the kernel was sent.
func program(t *testing.T, n int, order []byte) (given []answered, messages []verdictMessage) {
	peer, q := newPeer(t, ipq.Config{Range: 100})
	defer peer.file.Close()
	for id := range uint32(n) {
		peer.send(packetMessage(id+1, "E"))
	}
	var b ipq.Batch
	var ids []ipq.ID
	for len(ids) < n {
		if err := q.Recv(&b); err != nil {
			t.Fatal(err)
		}
		for p := range b.All() {
			ids = append(ids, p.ID)
		}
	}
	q.SetReadDeadline(time.Unix(1, 0))
	if err := q.Recv(&b); !errors.Is(err, os.ErrDeadlineExceeded) { // the turn of the last batch is over: ranges may be used
		t.Fatal(err)
	}
	verdicts := [...]ipq.Verdict{ipq.Accept, ipq.Drop, ipq.Repeat, ipq.Requeue(7)}
	kernel := [...]uint32{wire.NFAccept, wire.NFDrop, wire.NFRepeat, wire.NFQueue | 7<<16}
	for i := 0; i+1 < len(order) && len(ids) > 0; i += 2 {
		at := int(order[i]) % len(ids)
		kind, c := order[i+1]%4, ipq.Changes{More: true}
		if order[i+1]&4 != 0 {
			c.Mark, c.MarkMask = uint32(order[i+1]>>3), 0xffffffff
		}
		if err := q.SetVerdict(ids[at], verdicts[kind], c); err != nil {
			t.Fatal(err)
		}
		given = append(given, answered{ids[at].Uint32(), kernel[kind], c.Mark})
		ids = slices.Delete(ids, at, at+1)
	}
	q.Close()
	return given, peer.verdicts()
}

// carryOut is what a kernel makes of messages about n packets: each one's fate, in the order in which they left the queue.
func carryOut(n int, messages []verdictMessage) (fates []answered) {
	waits := make([]bool, n+1)
	for i := range waits {
		waits[i] = i > 0
	}
	for _, m := range messages {
		first := m.ID
		if m.Type == wire.TypeVerdictBatch {
			first = 1
		}
		for id := first; id <= m.ID; id++ {
			if waits[id] {
				waits[id] = false
				fates = append(fates, answered{id, m.Verdict.Verdict, m.Mark})
			}
		}
	}
	return fates
}

// Packets leave the queue in the order in which they were answered, each with its own verdict, and those that were not
// answered stay; only a dropped packet may end sooner or later than that.
func FuzzOrder(f *testing.F) {
	f.Add(uint8(2), []byte{1, 0, 1, 0, 0, 0})
	f.Add(uint8(8), []byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1})
	f.Add(uint8(9), []byte{0, 1, 0, 1, 0, 0, 0, 1, 0, 12, 0, 1, 0, 20})
	f.Add(uint8(60), []byte("out of any order, with a few held"))
	f.Fuzz(func(t *testing.T, size uint8, order []byte) {
		n := int(size)%100 + 1
		given, messages := program(t, n, order)
		fates := carryOut(n, messages)
		dropped := func(a answered) bool { return a.verdict == wire.NFDrop }
		if want, got := slices.DeleteFunc(slices.Clone(given), dropped), slices.DeleteFunc(slices.Clone(fates), dropped); !slices.Equal(got, want) {
			t.Errorf("passed on:\n%v\nwant, as answered:\n%v", got, want)
		}
		byID := func(a, b answered) int { return int(a.id) - int(b.id) }
		slices.SortFunc(given, byID)
		slices.SortFunc(fates, byID)
		if !slices.Equal(fates, given) {
			t.Errorf("fates:\n%v\nwant, as answered:\n%v", fates, given)
		}
	})
}

// What is dropped does not break the range of what passes, nor the other way round.
func TestFewMessages(t *testing.T) {
	for _, test := range []struct {
		name string
		kind func(i int) byte
		most int
	}{
		{"all pass", func(int) byte { return 0 }, 1},
		{"in turn", func(i int) byte { return byte(i % 2) }, 31},
		{"few are dropped", func(i int) byte { return byte(i % 10 / 9) }, 7},
		{"few pass", func(i int) byte { return 1 - byte(i%10/9) }, 7},
		{"first half dropped", func(i int) byte { return byte(i / 30) }, 2},
	} {
		var order []byte
		for i := range 60 {
			order = append(order, 0, test.kind(i))
		}
		if _, messages := program(t, 60, order); len(messages) > test.most {
			t.Errorf("%s: %d messages for 60 packets, want at most %d", test.name, len(messages), test.most)
		}
	}
}
