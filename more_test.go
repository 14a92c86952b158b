package ipq_test

import (
	"errors"
	"os"
	"testing"

	"ipq"
	"ipq/ipqtest"
)

// An answer with Changes.More waits for the next one, and never for long.
func TestMore(t *testing.T) {
	k := ipqtest.New(t)
	q, err := ipq.Open(ipq.Config{File: k.File()})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(chan ipq.ID, 8)
	done := make(chan error)
	go func() {
		var b ipq.Batch
		for {
			if err := q.Recv(&b); err != nil {
				done <- err
				return
			}
			for p := range b.All() {
				ids <- p.ID
			}
		}
	}()
	var entries []*ipqtest.Entry
	for range 4 {
		entries = append(entries, k.Inject(ipqtest.Packet{Hook: ipq.Input, Payload: make([]byte, 40)}))
	}
	for i := range entries {
		if err := q.SetVerdict(<-ids, ipq.Accept, ipq.Changes{More: i != 2}); err != nil {
			t.Error(err)
		}
	}
	// The third takes the first two along; the fourth waits for one that never comes.
	for i, e := range entries {
		if got := e.Result(); got.Verdict != ipq.Accept {
			t.Errorf("packet %d was answered with %v", i, got.Verdict)
		}
	}
	q.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Recv: %v", err)
	}
}
