package main

import "time"

const (
	floodWarmUp = 100 * time.Millisecond
	floodTime   = 500 * time.Millisecond
	settleTime  = 5 * time.Millisecond // for a reader to go to sleep in
)

// startUsual starts a reader with the usual room in its queue and buffer.
func (a *arena) startUsual(c contestant) (*process, error) {
	c.settings.maxlen, c.settings.rcvbuf = 4096, 8<<20
	return a.start(c)
}

// flood counts what comes through the queue while one core generates all it can.
func flood(a *arena, c contestant, _ int) (values, error) {
	if err := a.apply(queueUDP(1)); err != nil {
		return nil, err
	}
	p, err := a.startUsual(c)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	g, err := newGenerator(target, 1)
	if err != nil {
		return nil, err
	}
	defer g.close()
	stop, err := g.flood()
	if err != nil {
		return nil, err
	}
	time.Sleep(floodWarmUp)
	before, err := passed()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	time.Sleep(floodTime)
	after, err := passed()
	if err != nil {
		return nil, err
	}
	wall := time.Since(began)
	if err := stop(); err != nil {
		return nil, err
	}
	return values{"throughput": float64(after[0]-before[0]) / wall.Seconds() / 1000}, a.untilEmpty(1, 10*time.Second)
}

// paced measures a reader's CPU for each of a steady, slow stream of packets.
func paced(a *arena, c contestant, rate int) (values, error) {
	if err := a.apply(queueUDP(1)); err != nil {
		return nil, err
	}
	p, err := a.startUsual(c)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	g, err := newGenerator(target, 1)
	if err != nil {
		return nil, err
	}
	defer g.close()
	if err := g.pace(rate/10, time.Second/time.Duration(rate)); err != nil { // the reader's first, colder packets
		return nil, err
	}
	before, err := p.cpu()
	if err != nil {
		return nil, err
	}
	if err := g.pace(rate, time.Second/time.Duration(rate)); err != nil {
		return nil, err
	}
	time.Sleep(settleTime)
	after, err := p.cpu()
	if err != nil {
		return nil, err
	}
	return values{"CPU": float64(after-before) / float64(rate)}, nil
}

// idle measures a reader that has nothing to do.
func idle(a *arena, c contestant, _ int) (values, error) {
	const settle, watch = 200 * time.Millisecond, 2 * time.Second
	if err := a.apply(queueUDP(1)); err != nil {
		return nil, err
	}
	p, err := a.startUsual(c)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	time.Sleep(settle)
	before, err := p.cpu()
	if err != nil {
		return nil, err
	}
	time.Sleep(watch)
	after, err := p.cpu()
	if err != nil {
		return nil, err
	}
	memory, err := p.memory()
	if err != nil {
		return nil, err
	}
	return values{"CPU": 100 * float64(after-before) / float64(watch), "memory": memory}, nil
}
