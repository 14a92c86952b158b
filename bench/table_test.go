package main

import (
	"fmt"
	"strings"
	"testing"
)

func sample() *report {
	most := atMost("lnfq", 0.5)
	least := atLeast("limit", 2)
	return &report{Pairs: 1, Rows: []row{
		{Experiment: "e", Metric: "CPU", Reader: "ipq", Value: 600, Samples: []float64{600}},
		{Experiment: "e", Metric: "CPU", Reader: "lnfq", Value: 1000, Ratio: 0.6, bound: &most, MustBe: most.String()},
		{Experiment: "e", Metric: "CPU", Reader: "limit", NotMeasured: "gcc is not installed", bound: &least, MustBe: least.String()},
	}}
}

func TestGate(t *testing.T) {
	var out strings.Builder
	if code := sample().gate(&out, 1); code != 1 {
		t.Errorf("a ratio of 0.6 passed a bound of 0.5: %s", &out)
	}
	if code := sample().gate(&out, 1.25); code != 0 {
		t.Errorf("a ratio of 0.6 missed a bound of 0.5 widened by 1.25: %s", &out)
	}
	if !strings.Contains(out.String(), "1 not measured") {
		t.Errorf("what was not measured is not told: %s", &out)
	}
	r := sample()
	r.Rows = r.Rows[2:]
	if code := r.gate(&out, 1.25); code != 1 {
		t.Error("a gate that judged nothing passed")
	}
}

// What the limit reader misses as well is told, and not held against the library.
func TestGateBeyondTheLimit(t *testing.T) {
	for limit, code := range map[float64]int{0.45: 1, 0.47: 0, 0.55: 0} {
		r := sample()
		least := atLeast("limit", 2)
		r.Rows[1].Limit = limit
		r.Rows = append(r.Rows, row{Experiment: "e", Metric: "throughput", Reader: "limit", Ratio: 3, bound: &least})
		var out strings.Builder
		if got := r.gate(&out, 1); got != code {
			t.Errorf("the limit reader has %g of a bound of 0.5: exit code %d, want %d\n%s", limit, got, code, &out)
		}
		if err := r.writeTable(&out); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), fmt.Sprintf("limit reader %.2f", limit)); got != (code == 0) {
			t.Errorf("the limit reader has %g of a bound of 0.5:\n%s", limit, &out)
		}
	}
}

func TestWriteTable(t *testing.T) {
	var out strings.Builder
	if err := sample().writeTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.60", "<= 0.5  MISSED", "not measured: gcc is not installed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1543.7: "1544", 24.05: "24.1", 4: "4", 3.14159: "3.14", 0.000512: "0.000512", 100000: "100000"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %q, want %q", v, got, want)
		}
	}
}
