package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// A values maps a metric's name to one run's measurement.
type values map[string]float64

// An experiment is one situation in which every contestant runs once per round, one after the other.
type experiment struct {
	name        string
	about       string // what is measured, on which path
	contestants []contestant
	metrics     []metric
	rounds      int // in place of the rounds asked for, where one tells enough; 0 otherwise
	run         func(*arena, contestant, int) (values, error)
}

// A contestant is a reader under one set of settings; the first of an experiment is the one judged.
type contestant struct {
	name     string // as the table shows it
	reader   string // a key of readers, or "" for no queue at all
	settings settings
}

// A metric is a number that every run of an experiment yields.
type metric struct {
	name   string
	unit   string
	sum    bool // totalled over the rounds, in place of the median
	alone  bool // means something by itself only: no ratios
	bounds []bound
}

// A bound is what the first contestant's figure must be: its ratio to another contestant's in the same round, or
// the figure itself where against is empty.
type bound struct {
	against string
	atMost  bool
	limit   float64
}

func atMost(against string, limit float64) bound  { return bound{against, true, limit} }
func atLeast(against string, limit float64) bound { return bound{against, false, limit} }

// misses says whether a figure breaks the bound widened by factor.
func (b bound) misses(figure, factor float64) bool {
	if b.atMost {
		return figure > b.limit*factor
	}
	return figure < b.limit/factor
}

func (b bound) String() string {
	if b.atMost {
		return fmt.Sprintf("<= %g", b.limit)
	}
	return fmt.Sprintf(">= %g", b.limit)
}

// measure runs the rounds and returns the experiment's rows of the table.
func (e experiment) measure(a *arena, rounds int) ([]row, error) {
	if e.rounds > 0 {
		rounds = e.rounds
	}
	samples := map[string][]values{}
	missing := map[string]string{}
	for round := range rounds {
		for _, c := range e.contestants {
			if why := a.missing(c.reader); why != "" {
				missing[c.name] = why
				continue
			}
			v, err := e.run(a, c, rounds)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w%s", c.name, round+1, err, a.lastWords())
			}
			samples[c.name] = append(samples[c.name], v)
		}
		fmt.Fprintf(os.Stderr, "\r%s: round %d of %d ", e.name, round+1, rounds)
	}
	fmt.Fprintln(os.Stderr)
	var rows []row
	for _, m := range e.metrics {
		subject := column(samples[e.contestants[0].name], m.name)
		for i, c := range e.contestants {
			r := row{Experiment: e.name, About: e.about, Metric: m.name, Unit: m.unit, Reader: c.name, NotMeasured: missing[c.name]}
			r.Samples = column(samples[c.name], m.name)
			r.Value = summary(r.Samples, m.sum)
			if i > 0 && !m.alone {
				r.setRatio(subject, r.Samples)
			}
			for _, b := range m.bounds {
				if b.against == c.name || b.against == "" && i == 0 {
					r.bound, r.MustBe = &b, b.String()
					r.Limit = e.limit(b, m.name, samples)
				}
			}
			if r.NotMeasured != "" || len(r.Samples) > 0 {
				rows = append(rows, r)
			}
		}
	}
	return rows, nil
}

// limit is what the limit reader has of a bound against another one, the better of the two where it runs with two threads
// as well; 0 where it does not run, or where the bound is against it.
func (e experiment) limit(b bound, metric string, samples map[string][]values) (best float64) {
	if b.against == "" || isLimit(b.against) {
		return 0
	}
	for _, c := range e.contestants {
		if !isLimit(c.name) {
			continue
		}
		ratios := pairRatios(column(samples[c.name], metric), column(samples[b.against], metric))
		if len(ratios) == 0 {
			continue
		}
		if m := median(ratios); best == 0 || b.atMost == (m < best) {
			best = m
		}
	}
	return best
}

func isLimit(contestant string) bool {
	return contestant == limitReader || contestant == limitSplit || contestant == limitAwake
}

// keep leaves out the contestants, except the first, that are not of one of these readers.
func (e *experiment) keep(readers []string) {
	kept := e.contestants[:1:1]
	for _, c := range e.contestants[1:] {
		if c.reader == noReader || slices.Contains(readers, c.reader) {
			kept = append(kept, c)
		}
	}
	e.contestants = kept
}

// choose keeps the experiments named, all where none is.
func choose(all []experiment, names []string) ([]experiment, error) {
	if names == nil {
		return all, nil
	}
	var chosen []experiment
	for _, name := range names {
		found := false
		for _, e := range all {
			if e.name == name {
				chosen, found = append(chosen, e), true
			}
		}
		if !found {
			var known []string
			for _, e := range all {
				known = append(known, e.name)
			}
			return nil, fmt.Errorf("no experiment %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}
