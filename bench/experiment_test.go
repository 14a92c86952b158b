package main

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestBound(t *testing.T) {
	for _, c := range []struct {
		bound          bound
		figure, factor float64
		misses         bool
	}{
		{atMost("lnfq", 0.5), 0.5, 1, false},
		{atMost("lnfq", 0.5), 0.51, 1, true},
		{atMost("lnfq", 0.5), 0.6, 1.25, false},
		{atMost("", 0), 1, 1.25, true},
		{atLeast("lnfq", 3), 3, 1, false},
		{atLeast("lnfq", 3), 2.9, 1, true},
		{atLeast("lnfq", 3), 2.4, 1.25, false},
		{atLeast("lnfq", 3), 2.3, 1.25, true},
	} {
		if got := c.bound.misses(c.figure, c.factor); got != c.misses {
			t.Errorf("%v, %v, factor %v: misses = %v", c.bound, c.figure, c.factor, got)
		}
	}
}

func TestMeasureInterleaves(t *testing.T) {
	var order []string
	e := experiment{
		name:        "e",
		contestants: plain("ipq", "lnfq", "limit"),
		metrics:     []metric{{name: "m", bounds: []bound{atMost("lnfq", 0.5), atMost("", 1)}}},
		run: func(_ *arena, c contestant, _ int) (values, error) {
			order = append(order, c.name)
			return values{"m": map[string]float64{"ipq": 1, "lnfq": 4}[c.name]}, nil
		},
	}
	a := &arena{readers: &readers{why: map[string]string{"limit": "gcc is not installed"}}}
	rows, err := e.measure(a, 2)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"ipq", "lnfq", "ipq", "lnfq"}; !slices.Equal(order, want) {
		t.Errorf("ran %v, want %v", order, want)
	}
	if len(rows) != 3 || rows[1].Ratio != 0.25 || rows[2].NotMeasured == "" {
		t.Fatalf("rows %+v", rows)
	}
	if got := rows[0].outcome(); got != "<= 1  ok" {
		t.Errorf("the first reader's own bound: %q", got)
	}
	if got := rows[1].outcome(); got != "<= 0.5  ok" {
		t.Errorf("the bound against a peer: %q", got)
	}
}

func TestChoose(t *testing.T) {
	all := experiments(100, 300)
	got, err := choose(all, []string{"tcp", "drain"})
	if err != nil || len(got) != 2 || got[0].name != "tcp" {
		t.Errorf("chose %d, %v", len(got), err)
	}
	if _, err := choose(all, []string{"nothing"}); err == nil {
		t.Error("chose an experiment that is not there")
	}
}

// Every bound must name a contestant of its experiment: against any other it would never be judged.
func TestBoundsNameContestants(t *testing.T) {
	for _, e := range experiments(100, 300) {
		for _, m := range e.metrics {
			for _, b := range m.bounds {
				if b.against != "" && !slices.ContainsFunc(e.contestants, func(c contestant) bool { return c.name == b.against }) {
					t.Errorf("%s, %s: a bound against %q, who does not take part", e.name, m.name, b.against)
				}
			}
		}
	}
}

func TestSettingsRoundTrip(t *testing.T) {
	s := settings{queue: 3, queues: 2, maxlen: 4096, rcvbuf: 1 << 20, gso: true, work: rewrite, allocate: true, busypoll: 50 * time.Microsecond}
	got, err := parseSettings(s.words())
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("parsed %+v, %v, want %+v", got, err, s)
	}
	for _, bad := range []string{"queue", "queue=x", "colour=1"} {
		if _, err := parseSettings([]string{bad}); err == nil {
			t.Errorf("took %q", bad)
		}
	}
}
