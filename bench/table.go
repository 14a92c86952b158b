package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// A report is everything one run of the command found.
type report struct {
	Machine machine `json:"machine"`
	Command string  `json:"command"`
	Pairs   int     `json:"pairs"`
	Rows    []row   `json:"rows"`
}

// A row is one contestant's figure in one experiment.
type row struct {
	Experiment  string    `json:"experiment"`
	About       string    `json:"about"`
	Metric      string    `json:"metric"`
	Unit        string    `json:"unit"`
	Reader      string    `json:"reader"`
	Value       float64   `json:"value"`
	Samples     []float64 `json:"samples"`
	Ratio       float64   `json:"ratio,omitempty"` // the first reader's figure to this one's, median of the pairs
	RatioLow    float64   `json:"ratio_low,omitempty"`
	RatioHigh   float64   `json:"ratio_high,omitempty"`
	MustBe      string    `json:"must_be,omitempty"`
	Limit       float64   `json:"limit,omitempty"` // of what MustBe bounds, the limit reader's
	NotMeasured string    `json:"not_measured,omitempty"`

	bound *bound
}

func (r *row) setRatio(subject, peer []float64) {
	if ratios := pairRatios(subject, peer); len(ratios) > 0 {
		r.Ratio, r.RatioLow, r.RatioHigh = median(ratios), slices.Min(ratios), slices.Max(ratios)
	}
}

// judged returns the figure that the bound speaks about, and whether there is one.
func (r *row) judged() (float64, bool) {
	if r.bound == nil || r.NotMeasured != "" {
		return 0, false
	}
	if r.bound.against != "" {
		return r.Ratio, r.Ratio != 0
	}
	return r.Value, true
}

// beyond reports whether the limit reader itself misses the bound, or all but does: then nothing that makes the same system
// calls, and does anything besides, can be within it on this machine.
func (r *row) beyond() bool {
	const room = 1.1
	return r.Limit != 0 && r.bound.misses(r.Limit, 1/room)
}

func (r *row) outcome() string {
	figure, ok := r.judged()
	switch {
	case r.bound == nil:
		return ""
	case !ok:
		return r.MustBe + "  not measured"
	case r.bound.misses(figure, 1) && r.beyond():
		return fmt.Sprintf("%s  limit reader %.2f", r.MustBe, r.Limit)
	case r.bound.misses(figure, 1):
		return r.MustBe + "  MISSED"
	}
	return r.MustBe + "  ok"
}

func (r *report) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "machine  %s\ncommand  %s\nratio    the first reader's figure to the row's, round by round: median (lowest to highest) of %d rounds\n", r.Machine, r.Command, r.Pairs)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.DiscardEmptyColumns)
	experiment, metric := "", ""
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Experiment != experiment {
			if err := t.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(w, "\n%s: %s\n", row.Experiment, row.About)
			experiment, metric = row.Experiment, ""
		}
		if row.Metric != metric {
			fmt.Fprintf(t, "  %s, %s\tmedian\tratio\t\tmust be\t\n", row.Metric, row.Unit)
			metric = row.Metric
		}
		fmt.Fprintln(t, row.cells())
	}
	return t.Flush()
}

func (r *row) cells() string {
	if r.NotMeasured != "" {
		return fmt.Sprintf("    %s\tnot measured: %s\t\t\t\t", r.Reader, r.NotMeasured)
	}
	ratio, spread := "", ""
	if r.Ratio != 0 {
		ratio, spread = fmt.Sprintf("%.2f", r.Ratio), fmt.Sprintf("(%.2f to %.2f)", r.RatioLow, r.RatioHigh)
	}
	return fmt.Sprintf("    %s\t%s\t%s\t%s\t%s\t", r.Reader, figure(r.Value), ratio, spread, r.outcome())
}

// figure prints three significant digits, or all those of a whole number.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || a == math.Trunc(a):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// gate lists the figures outside their bounds widened by factor, and returns the exit code: 1 where there is one, or
// where there was nothing to judge. Figures that the limit reader misses, too, do not count.
func (r *report) gate(w io.Writer, factor float64) int {
	judged, missed, beyond, unknown := 0, 0, 0, 0
	for i := range r.Rows {
		row := &r.Rows[i]
		figure, ok := row.judged()
		if !ok {
			if row.bound != nil {
				unknown++
			}
			continue
		}
		if row.bound.misses(figure, 1) && row.beyond() {
			beyond++
			continue
		}
		judged++
		if row.bound.misses(figure, factor) {
			missed++
			fmt.Fprintf(w, "gate: %s, %s against %q is %.3g, must be %s, times %g\n", row.Experiment, row.Metric, row.bound.against, figure, row.MustBe, factor)
		}
	}
	fmt.Fprintf(w, "gate: %d of %d figures within %g times what they must be; %d more are beyond the limit reader, %d not measured\n", judged-missed, judged, factor, beyond, unknown)
	if missed > 0 || judged == 0 {
		return 1
	}
	return 0
}
