package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An arena is the place where readers run: a network namespace with lo up, the queue's counters, the rules.
type arena struct {
	readers  *readers
	counters *os.File
	rules    ruleset
	far      *farHost // made when first asked for
	last     *process // the reader started last
}

func newArena() (*arena, error) {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return nil, fmt.Errorf("bringing lo up: %w", err)
	}
	counters, err := os.Open("/proc/net/netfilter/nfnetlink_queue")
	if err != nil {
		return nil, fmt.Errorf("this kernel has no NFQUEUE (CONFIG_NETFILTER_NETLINK_QUEUE): %w", err)
	}
	readers, err := buildReaders()
	if err != nil {
		return nil, err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, unix.SIGTERM)
	go func() {
		<-interrupted
		readers.remove() // the processes end with this one
		os.Exit(130)
	}()
	return &arena{readers: readers, counters: counters}, nil
}

func (a *arena) close() {
	if a.far != nil {
		a.far.close()
	}
	a.counters.Close()
	a.readers.remove()
}

// missing says why a reader cannot take part, "" where it can.
func (a *arena) missing(reader string) string { return a.readers.why[reader] }

// A queueState is a queue's line of /proc/net/netfilter/nfnetlink_queue.
type queueState struct {
	waiting                   int
	queueDropped, userDropped uint64
}

func (a *arena) queue(number int) (queueState, error) {
	var buf [4096]byte
	n, _ := a.counters.ReadAt(buf[:], 0)
	for rest := buf[:n]; len(rest) > 0; {
		var s queueState
		var num, port, mode, rng int
		if _, err := fmt.Sscan(string(rest), &num, &port, &s.waiting, &mode, &rng, &s.queueDropped, &s.userDropped); err != nil {
			break
		}
		if num == number {
			return s, nil
		}
		for len(rest) > 0 && rest[0] != '\n' {
			rest = rest[1:]
		}
		rest = rest[min(1, len(rest)):]
	}
	return queueState{}, fmt.Errorf("queue %d is not bound: its reader has gone", number)
}

// untilEmpty waits until nothing waits in queues 0 to n-1.
func (a *arena) untilEmpty(n int, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(50 * time.Microsecond) {
		waiting := 0
		for q := range n {
			s, err := a.queue(q)
			if err != nil {
				return err
			}
			waiting += s.waiting
		}
		if waiting == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d packets still wait after %v", waiting, timeout)
		}
	}
}

// expectWaiting fails unless exactly n packets wait in queues 0 to queues-1, and says where the others went.
func (a *arena) expectWaiting(queues, n int) error {
	var all queueState
	for q := range queues {
		s, err := a.queue(q)
		if err != nil {
			return err
		}
		all.waiting += s.waiting
		all.queueDropped += s.queueDropped
		all.userDropped += s.userDropped
	}
	if all.waiting != n {
		return fmt.Errorf("%d packets wait, not %d: the kernel dropped %d as the queue was full and %d as the socket's buffer was", all.waiting, n, all.queueDropped, all.userDropped)
	}
	return nil
}

// target is where the generated packets go. Nobody listens there: they are dropped after the queue, unless an
// experiment opens a socket for them.
var target = netip.MustParseAddrPort("127.0.0.1:4000")
