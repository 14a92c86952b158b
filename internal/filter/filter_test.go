package filter_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"ipq/internal/filter"
	"ipq/packet"
	"ipq/rules"
)

// plan is what ipq would install for the filter.
func plan(f *filter.Filter) rules.Plan {
	return rules.Plan{Chains: []rules.Chain{{Hook: rules.Forward, Match: f.Rules()}}}
}

// checkFilter checks the filter against its twin, its text, and its rules, with n packets.
func checkFilter(t *testing.T, r *rand.Rand, w twin, n int) {
	t.Helper()
	f, err := filter.Parse(w.text)
	var e *filter.Error
	contradiction := errors.As(err, &e) && strings.Contains(e.Message, "contradict")
	if err != nil && !contradiction {
		t.Fatalf("%q: %v", w.text, err)
	}
	if contradiction && e.Start == 0 && e.End == len(w.text) {
		for range n {
			if p := randomPacket(r); w.want(p) {
				t.Fatalf("%v\nbut %x matches", err, p.bytes)
			}
		}
	}
	if contradiction {
		return
	}
	again, err := filter.Parse(f.String())
	if err != nil || filter.Tree(again) != filter.Tree(f) || again.String() != f.String() {
		t.Fatalf("%q is written as %q, which is read as %v, %v", w.text, f, again, err)
	}
	list := f.Rules()
	if text := plan(f).String(); strings.HasPrefix(text, "#") {
		t.Fatalf("%q: %s", w.text, text)
	}
	var h packet.Headers
	for range n {
		p := randomPacket(r)
		h.Parse(p.bytes)
		want := w.want(p)
		if got := f.Match(&h); got != want {
			t.Fatalf("%q: %v for the packet %x %+v, want %v", w.text, got, p.bytes, p, want)
		}
		switch queued := anyTakes(list, p); {
		case want && !queued:
			t.Fatalf("%q: its rules do not take the packet %x %+v\n%s", w.text, p.bytes, p, plan(f))
		case !want && queued && filter.Exact(f):
			t.Fatalf("%q: its rules should be exact and take the packet %x %+v\n%s", w.text, p.bytes, p, plan(f))
		}
	}
}

func TestRandomFilters(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 10000 {
		checkFilter(t, r, randomFilter(r, 3), 40)
	}
}
