package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"
)

const (
	roundTripsPerRun = 4000
	roundTripWarmUp  = 200
	lostAfter        = time.Second
)

// roundTrip sends one packet at a time through the queue to a program that sends it back past the queue. Both are on
// one core; the reader is on the cores of its settings.
func roundTrip(a *arena, c contestant, core int) (values, error) {
	e, stop, err := a.echo(c, []int{core})
	if err != nil {
		return nil, err
	}
	defer stop()
	var took []float64
	var lost int
	err = onCore(core, func() error {
		if _, _, err := e.run(roundTripWarmUp); err != nil {
			return err
		}
		took, lost, err = e.run(roundTripsPerRun)
		return err
	})
	if err != nil {
		return nil, err
	}
	if lost > 0 {
		return nil, fmt.Errorf("%d of %d packets did not come back within %v", lost, roundTripsPerRun, lostAfter)
	}
	slices.Sort(took)
	return values{"median": percentile(took, 0.5), "99th percentile": percentile(took, 0.99)}, nil
}

// lostRoundTrips counts the packets that had not come back when the next one was sent.
func lostRoundTrips(a *arena, c contestant, packets int) (values, error) {
	e, stop, err := a.echo(c, nil)
	if err != nil {
		return nil, err
	}
	defer stop()
	_, lost, err := e.run(packets)
	return values{"lost": float64(lost), "packets": float64(packets)}, err
}

// echo prepares a contestant's reader and what sends packets through it and back.
func (a *arena) echo(c contestant, cores []int) (e *echo, stop func(), err error) {
	rules := ruleset{}
	if c.reader != noReader {
		rules = queueUDP(1)
		rules.deliver = true
	}
	if err := a.apply(rules); err != nil {
		return nil, nil, err
	}
	if e, err = newEcho(cores); err != nil || c.reader == noReader {
		return e, e.close, err
	}
	p, err := a.startUsual(c)
	if err != nil {
		e.close()
		return nil, nil, err
	}
	return e, func() { p.stop(); e.close() }, nil
}

// onCore runs f on a thread pinned to a core.
func onCore(core int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := pinThread(core)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
