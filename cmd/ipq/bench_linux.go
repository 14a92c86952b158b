package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"ipq/internal/sandbox"
	"ipq/rules"
)

// benchmark is one run of bench.
type benchmark struct {
	net      *sandbox.Net
	encoding rules.Encoding
	report   benchReport
}

// measurement is something that bench measures once in every round.
type measurement struct {
	name string // in JSON
	take func(*benchmark, time.Duration) (benchValues, error)
}

// measurements are in the order in which a round takes them: with and without a queue next to each other.
func measurements() []measurement {
	list := []measurement{
		{"drain", (*benchmark).drain},
		{"flood", (*benchmark).flood},
		{"round_trip_not_queued", (*benchmark).roundTripNotQueued},
		{"round_trip_one_core", (*benchmark).roundTripOneCore},
	}
	if min(len(usableCores()), runtime.GOMAXPROCS(0)) > 1 { // the latter knows of a container's share
		list = append(list, measurement{"round_trip_two_cores", (*benchmark).roundTripTwoCores},
			measurement{"round_trip_busy_poll", (*benchmark).roundTripBusyPoll})
	}
	return append(list, measurement{"tcp_not_queued", (*benchmark).tcpNotQueued}, measurement{"tcp", (*benchmark).tcpQueued})
}

const (
	fewestRounds = 3
	usualTurn    = 250 * time.Millisecond // of a measurement in a round
)

// bench makes the private network and measures in it, round by round.
func bench(ctx context.Context, w io.Writer, o benchOptions) error {
	if err := sandbox.Enter(); err != nil {
		return unableError(err)
	}
	net, err := sandbox.NewNet(1)
	if err != nil {
		return unableError(err)
	}
	defer net.Close()
	encoding, err := rules.Probe("")
	if err != nil {
		return unableError(fmt.Errorf("%w (ipq doctor says what this machine lacks)", err))
	}
	// The workers die with the thread that starts them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	b := &benchmark{net: net, encoding: encoding}
	b.report = benchReport{machine: thisMachine(), figures: make(map[string][]benchValues)}
	if o.format == formatText {
		fmt.Fprintln(w, b.report.machine)
	}
	if err := b.measure(ctx, o.time); err != nil || b.report.rounds == 0 {
		return err
	}
	if o.format == formatJSON {
		return writeJSON(w, b.report.medians())
	}
	return b.report.medians().print(w)
}

// measure takes rounds until the time is over. When ctx ends, the user has waited long enough: the rounds that are
// complete count.
func (b *benchmark) measure(ctx context.Context, whole time.Duration) error {
	list := measurements()
	rounds := max(fewestRounds, int(whole/usualTurn)/len(list))
	turn := whole / time.Duration(rounds*len(list))
	for range rounds {
		round := make(map[string]benchValues)
		for _, m := range list {
			if ctx.Err() != nil {
				return nil
			}
			v, err := m.take(b, turn)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			round[m.name] = v
		}
		b.report.add(round)
	}
	return nil
}
