package main

import (
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(c.of); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.of, got, c.want)
		}
	}
	v := []float64{2, 1}
	if median(v); !slices.Equal(v, []float64{2, 1}) {
		t.Error("median sorted its argument, which pairs depend on")
	}
}

func TestPercentile(t *testing.T) {
	v := make([]float64, 100)
	for i := range v {
		v[i] = float64(i)
	}
	for p, want := range map[float64]float64{0: 0, 0.5: 50, 0.99: 99, 1: 99} {
		if got := percentile(v, p); got != want {
			t.Errorf("percentile(%v) = %v, want %v", p, got, want)
		}
	}
}

// A machine that is twice as slow in one round leaves the ratio of that round alone.
func TestPairRatios(t *testing.T) {
	got := pairRatios([]float64{10, 20, 10}, []float64{20, 40, 20})
	if !slices.Equal(got, []float64{0.5, 0.5, 0.5}) {
		t.Errorf("ratios %v", got)
	}
	if got := pairRatios([]float64{1, 2}, []float64{0}); len(got) != 0 {
		t.Errorf("divided by nothing: %v", got)
	}
}

func TestSummary(t *testing.T) {
	rounds := []values{{"a": 1}, {"a": 2, "b": 7}, {"a": 6}}
	if got := summary(column(rounds, "a"), false); got != 2 {
		t.Errorf("median %v", got)
	}
	if got := summary(column(rounds, "a"), true); got != 9 {
		t.Errorf("total %v", got)
	}
	if got := column(rounds, "b"); !slices.Equal(got, []float64{7}) {
		t.Errorf("column of a metric that one round had: %v", got)
	}
}
