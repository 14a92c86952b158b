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

// FuzzTurns is FuzzOrder for a program that answers while it receives: some packets in their turn and others when it is
// over, some at once and others together, with ids that skip and wrap.
func FuzzTurns(f *testing.F) {
	f.Add(uint32(0), []byte{0, 0, 1, 8, 3, 0, 5, 9, 3, 0, 0, 0, 3, 0})
	f.Add(uint32(0), []byte{0, 0, 3, 0, 1, 0, 0, 3, 3, 0, 2, 4, 2, 4}) // the second and third of four, while it is the first one's turn
	f.Add(uint32(0xfffffffa), []byte("answered in turn, \x00\x00\x00\x00\x00 or later, as the ids wrap"))
	f.Add(uint32(1), []byte{0, 0, 0, 0, 0, 0, 3, 0, 1, 8, 1, 8, 1, 8, 3, 0, 1, 0, 1, 0, 1, 0, 3, 0})
	f.Fuzz(func(t *testing.T, first uint32, steps []byte) {
		peer, q := newPeer(t, ipq.Config{Range: 100, OnOverrun: func(uint64) {}, OnDefault: func(id ipq.ID, err error) { t.Errorf("packet %v: %v", id, err) }})
		defer peer.file.Close()
		var queue []uint32 // as the kernel numbered them
		var given []answered
		var open []ipq.ID
		var b ipq.Batch
		id := first
		receive := func() {
			for {
				all, deadline := len(queue) == len(given)+len(open), time.Now().Add(patience)
				if all {
					deadline = time.Unix(1, 0)
				}
				q.SetReadDeadline(deadline)
				if err := q.Recv(&b); all && errors.Is(err, os.ErrDeadlineExceeded) {
					return
				} else if err != nil {
					t.Fatal(err)
				}
				for p := range b.All() {
					open = append(open, p.ID)
				}
				if len(steps)%2 == 0 {
					return // their turn is not over
				}
			}
		}
		verdicts := [...]ipq.Verdict{ipq.Accept, ipq.Drop}
		kernel := [...]uint32{wire.NFAccept, wire.NFDrop}
		for ; len(steps) >= 2 && len(queue) < 150; steps = steps[2:] {
			switch arg := steps[1]; steps[0] % 4 {
			case 0: // the kernel queues packets
				for range arg%8 + 1 {
					id += 1 + uint32(arg>>6)
					queue = append(queue, id)
					peer.send(packetMessage(id, "E"))
				}
			case 3:
				receive()
			default: // the program answers one
				if len(open) == 0 {
					continue
				}
				at := int(arg>>2) % len(open)
				if steps[0]%4 == 1 {
					at = 0
				}
				if err := q.SetVerdict(open[at], verdicts[arg&1], ipq.Changes{More: arg&2 != 0}); err != nil {
					t.Fatal(err)
				}
				given = append(given, answered{id: open[at].Uint32(), verdict: kernel[arg&1]})
				open = slices.Delete(open, at, at+1)
			}
		}
		q.Close()
		var fates []answered
		for _, m := range peer.verdicts() {
			end := slices.Index(queue, m.ID)
			if end < 0 {
				t.Fatalf("a verdict for packet %d, which does not wait for one", m.ID)
			}
			from := end
			if m.Type == wire.TypeVerdictBatch {
				from = 0
			}
			for _, x := range queue[from : end+1] {
				fates = append(fates, answered{id: x, verdict: m.Verdict.Verdict})
			}
			queue = slices.Delete(queue, from, end+1)
		}
		dropped := func(a answered) bool { return a.verdict == wire.NFDrop }
		if want, got := slices.DeleteFunc(slices.Clone(given), dropped), slices.DeleteFunc(slices.Clone(fates), dropped); !slices.Equal(got, want) {
			t.Errorf("passed on:\n%v\nwant, as answered:\n%v", got, want)
		}
		byID := func(a, b answered) int { return int(int32(a.id - b.id)) }
		slices.SortFunc(given, byID)
		slices.SortFunc(fates, byID)
		if !slices.Equal(fates, given) {
			t.Errorf("fates:\n%v\nwant, as answered:\n%v", fates, given)
		}
	})
}
