package main

import (
	"slices"
)

// median returns the middle value, the mean of the two middle ones where their number is even, 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// percentile returns the value below which p of sorted lie.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// pairRatios divides round by round: what disturbed a whole round disturbs both sides of its ratio.
func pairRatios(subject, peer []float64) []float64 {
	var ratios []float64
	for i := range min(len(subject), len(peer)) {
		if peer[i] != 0 {
			ratios = append(ratios, subject[i]/peer[i])
		}
	}
	return ratios
}

// column extracts one metric from each round.
func column(rounds []values, metric string) []float64 {
	var c []float64
	for _, v := range rounds {
		if x, ok := v[metric]; ok {
			c = append(c, x)
		}
	}
	return c
}

// summary is the median, or the total.
func summary(v []float64, sum bool) float64 {
	if !sum || len(v) == 0 {
		return median(v)
	}
	total := 0.0
	for _, x := range v {
		total += x
	}
	return total
}
