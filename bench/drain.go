package main

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// drain lets packets gather while a reader is stopped, then has it work them off: everything it does, nothing that the
// generator does.
func drain(a *arena, c contestant, packets int) (values, error) {
	rules := queueUDP(c.settings.queues)
	rules.marks = c.settings.work == mark
	if err := a.apply(rules); err != nil {
		return nil, err
	}
	readers, err := a.startEach(withRoom(c, packets))
	for _, p := range readers {
		defer p.stop()
	}
	if err != nil {
		return nil, err
	}
	if c.settings.work == rewrite {
		if err := a.checkRewritten(); err != nil {
			return nil, err
		}
		if err := a.apply(rules); err != nil {
			return nil, err
		}
	}
	return a.workOff(readers, c.settings, packets)
}

// startEach starts a contestant's readers: one for all queues where it is the library, which has groups, else one for
// each queue, each on a core of its own.
func (a *arena) startEach(c contestant) ([]*process, error) {
	queues := c.settings.queues
	if queues == 1 || c.reader == ipqReader {
		p, err := a.start(c)
		if err != nil {
			return nil, err
		}
		return []*process{p}, nil
	}
	var readers []*process
	c.settings.queues = 1
	for q := range queues {
		c.settings.queue, c.settings.cores = q, []int{cores[int(q)%len(cores)]}
		p, err := a.start(c)
		if err != nil {
			return readers, err
		}
		readers = append(readers, p)
	}
	return readers, nil
}

// bytesPerPacket is what the kernel accounts to a socket's buffer for one waiting packet of 100 bytes, and some more.
const bytesPerPacket = 1024

// longestQueue is the length that newer kernels cut every longer one to.
const longestQueue = 1 << 16

// withRoom makes the queue and the socket's buffer large enough for packets to wait there.
func withRoom(c contestant, packets int) contestant {
	c.settings.maxlen, c.settings.rcvbuf = uint32(packets), packets*bytesPerPacket/2 // the kernel doubles it
	return c
}

// waitingRoom returns how many of n packets a socket's buffer can hold here: in a user namespace net.core.rmem_max
// bounds it.
func waitingRoom(n int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, fmt.Errorf("opening a netlink socket: %w", err)
	}
	defer unix.Close(fd)
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n*bytesPerPacket/2) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n*bytesPerPacket/2); err != nil {
			return 0, err
		}
	}
	granted, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	return min(n, granted/bytesPerPacket, longestQueue), err
}

// drainTimeout is when a reader counts as stuck.
const drainTimeout = time.Minute

// warmUp is how many packets a reader works off before its figures are taken: memory that it touches for the first
// time, or allocates once, costs as much as hundreds of packets.
const warmUp = 2000

// workOff measures readers; two queues are told apart by the packets' addresses.
func (a *arena) workOff(readers []*process, s settings, packets int) (values, error) {
	queues := int(s.queues)
	g, err := newGenerator(target, 1+63*(queues-1))
	if err != nil {
		return nil, err
	}
	defer g.close()
	if err := g.send(min(warmUp, packets)); err != nil {
		return nil, err
	}
	if err := a.untilEmpty(queues, drainTimeout); err != nil {
		return nil, err
	}
	before, err := total(readers)
	if err != nil {
		return nil, err
	}
	time.Sleep(settleTime)
	cpuBefore, err := totalCPU(readers)
	if err != nil {
		return nil, err
	}
	for _, p := range readers {
		if err := p.pause(); err != nil {
			return nil, err
		}
	}
	if err := g.send(packets); err != nil {
		return nil, err
	}
	if err := a.expectWaiting(queues, packets); err != nil {
		return nil, err
	}
	start, err := passed()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for _, p := range readers {
		if err := p.resume(); err != nil {
			return nil, err
		}
	}
	if err := a.untilEmpty(queues, drainTimeout); err != nil {
		return nil, err
	}
	// A packet leaves its queue before it goes on from there: what a range verdict covers leaves all at once.
	if err := untilPassed(start, packets, s.work); err != nil {
		return nil, err
	}
	wall := time.Since(began)
	time.Sleep(settleTime)
	cpuAfter, err := totalCPU(readers)
	if err != nil {
		return nil, err
	}
	after, err := total(readers)
	if err != nil {
		return nil, err
	}
	if n := after.packets - before.packets; n != packets {
		return nil, fmt.Errorf("%d of %d packets answered", n, packets)
	}
	v := values{
		"CPU":        float64(cpuAfter-cpuBefore) / float64(packets),
		"throughput": float64(packets) / wall.Seconds() / 1000,
	}
	if after.allocs >= 0 {
		v["allocations"] = float64(after.allocs-before.allocs) / float64(packets)
	}
	return v, nil
}

func total(readers []*process) (progress, error) {
	var all progress
	for _, p := range readers {
		r, err := p.report()
		if err != nil {
			return all, err
		}
		all.packets += r.packets
		all.allocs += r.allocs
	}
	return all, nil
}

func totalCPU(readers []*process) (time.Duration, error) {
	var all time.Duration
	for _, p := range readers {
		t, err := p.cpu()
		if err != nil {
			return 0, err
		}
		all += t
	}
	return all, nil
}

// untilPassed waits until the rules after the queue have seen what the work should let through, and fails where they
// do not: a reader that is fast and wrong is no contestant.
func untilPassed(before []uint64, packets int, w work) error {
	want := []int{packets}
	switch w {
	case alternate:
		want = []int{(packets + 1) / 2}
	case mark:
		want = []int{packets / 2, (packets + 1) / 2, 0}
	}
	got := make([]int, len(want))
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Microsecond) {
		now, err := passed()
		if err != nil {
			return err
		}
		for i := range got {
			got[i] = int(now[i] - before[i])
		}
		if slices.Equal(got, want) {
			return nil
		}
	}
	return fmt.Errorf("the rules after the queue saw %d packets, not %d", got, want)
}
