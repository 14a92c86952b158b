package ipqueue_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"ipq/ipqueue"
)

// The journal gives back what was added, whole, or nothing; and the latest
// requests always.
func TestJournal(t *testing.T) {
	type added struct {
		program int
		request []byte
		taken   bool
	}
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		var j ipqueue.Journal
		var all []added
		for range 3000 {
			size := 28 + r.IntN(20)
			switch r.IntN(50) {
			case 0:
				size = r.IntN(150 << 10)
			case 1, 2, 3:
				size = 1500
			}
			b := make([]byte, size)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			j.Add(len(all), len(all)*10, b)
			all = append(all, added{program: len(all) * 10, request: bytes.Clone(b)})
			clear(b) // what was added is the journal's own

			key := r.IntN(len(all))
			if r.IntN(2) == 0 {
				key = max(0, len(all)-1-r.IntN(200))
			}
			since := 0
			for _, a := range all[key:] {
				if len(a.request) <= ipqueue.JournalBytes/2 {
					since += len(a.request)
				}
			}
			a := &all[key]
			remembered := !a.taken && len(a.request) <= ipqueue.JournalBytes/2 && since <= ipqueue.JournalBytes
			program, request, ok := j.Take(key)
			switch {
			case !ok && remembered && len(all)-key <= ipqueue.JournalRecords:
				t.Fatalf("seed %d: request %d of %d (%d bytes, %d since) is forgotten", seed, key, len(all), len(a.request), since)
			case ok && !remembered:
				t.Fatalf("seed %d: request %d of %d came back: taken %v, %d bytes since", seed, key, len(all), a.taken, since)
			case ok && (program != a.program || !bytes.Equal(request, a.request)):
				t.Fatalf("seed %d: request %d came back changed", seed, key)
			}
			a.taken = a.taken || ok
		}
	}
}
