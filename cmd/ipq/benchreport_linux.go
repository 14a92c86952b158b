package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// benchValues are the figures of one measurement, by the names that they have in JSON. What is not known is not there.
type benchValues map[string]float64

// benchReport collects rounds.
type benchReport struct {
	machine machine
	buffer  int // of the queue's socket, in bytes, as SO_RCVBUF counts it
	rounds  int
	figures map[string][]benchValues // of each measurement, one for each round
}

// benchMedians is what -o json prints.
type benchMedians struct {
	Machine machine                `json:"machine"`
	Queue   benchRoom              `json:"queue"`
	Rounds  int                    `json:"rounds"`
	Figures map[string]benchValues `json:"figures"`
}

// benchRoom is how much may wait in the queue.
type benchRoom struct {
	Length int `json:"length"`         // packets
	Buffer int `json:"receive_buffer"` // bytes
}

func (r *benchReport) add(round map[string]benchValues) {
	for name, v := range round {
		r.figures[name] = append(r.figures[name], v)
	}
	r.rounds++
}

func (r *benchReport) medians() benchMedians {
	m := benchMedians{r.machine, benchRoom{benchQueueLength, r.buffer}, r.rounds, make(map[string]benchValues)}
	for name, rounds := range r.figures {
		of := make(map[string][]float64)
		for _, v := range rounds {
			for key, x := range v {
				of[key] = append(of[key], x)
			}
		}
		m.Figures[name] = make(benchValues)
		for key, list := range of {
			m.Figures[name][key] = math.Round(median(list)*1000) / 1000
		}
	}
	return m
}

// median is the value in the middle, or the mean of the two there.
func median(list []float64) float64 {
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// benchRow is a line of the table: figures of one measurement, and what they mean.
type benchRow struct {
	name, of string
	keys     []string
	scale    float64
	format   string
	unit     string
	means    string
}

var (
	rateKeys   = []string{"packets_per_second"}
	lostKeys   = []string{"lost_percent"}
	tripKeys   = []string{"median_us", "p90_us", "p99_us"}
	streamKeys = []string{"gbit_per_second"}
)

var benchRows = []benchRow{
	{"drain, CPU", "drain", []string{"cpu_ns_per_packet"}, 1, "%.0f", "ns/packet", "to receive and accept a small packet that waits"},
	{"drain, rate", "drain", rateKeys, 1e-3, "%.0f", "thousand/s", "such packets, while nobody sends more"},
	{"flood, rate", "flood", rateKeys, 1e-3, "%.0f", "thousand/s", "small packets that pass while one core sends all it can"},
	{"flood, lost", "flood", lostKeys, 1, "%.1f", "%", "of those sent: the queue, or its buffer, was full"},
	{"round trip, not queued", "round_trip_not_queued", tripKeys, 1, "%.1f", "µs", "of one packet at a time: median, 90th, 99th percentile"},
	{"round trip, one core", "round_trip_one_core", tripKeys, 1, "%.1f", "µs", "the same, queued on its way there, all on one core"},
	{"round trip, two cores", "round_trip_two_cores", tripKeys, 1, "%.1f", "µs", "the same, the reader asleep on another core"},
	{"round trip, BusyPoll", "round_trip_busy_poll", tripKeys, 1, "%.1f", "µs", "the same, the reader awake on another core"},
	{"TCP, not queued", "tcp_not_queued", streamKeys, 1, "%.1f", "Gbit/s", "one connection over a link with an MTU of 1500"},
	{"TCP, queued", "tcp", streamKeys, 1, "%.1f", "Gbit/s", "the same, all that arrives queued (GSO)"},
	{"TCP, lost", "tcp", lostKeys, 1, "%.1f", "%", "of what was queued: the queue, or its buffer, was full"},
}

// print writes the table.
func (m benchMedians) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "Queue of %d packets, receive buffer of %d KiB\n", m.Queue.Length, m.Queue.Buffer>>10)
	fmt.Fprintf(t, "\nFIGURE\tMEDIAN OF %d\t\tMEANING\n", m.Rounds)
	for _, r := range benchRows {
		v, ok := m.Figures[r.of]
		if !ok {
			continue // there was no core to spare
		}
		texts := make([]string, len(r.keys))
		for i, key := range r.keys {
			texts[i] = "?"
			if x, ok := v[key]; ok {
				texts[i] = fmt.Sprintf(r.format, x*r.scale)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.name, strings.Join(texts, " / "), r.unit, r.means)
	}
	return t.Flush()
}
