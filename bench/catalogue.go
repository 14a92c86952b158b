package main

import (
	"fmt"
	"time"
)

// plain are readers with nothing asked for but their name.
func plain(readers ...string) []contestant {
	var c []contestant
	for _, r := range readers {
		c = append(c, contestant{name: r, reader: r, settings: settings{queues: 1}})
		if r == noReader {
			c[len(c)-1].name = "not queued"
		}
	}
	return c
}

// with gives all contestants the settings that change makes.
func with(c []contestant, change func(*settings)) []contestant {
	for i := range c {
		change(&c[i].settings)
	}
	return c
}

// doing is with for one kind of work.
func doing(w work, c []contestant) []contestant {
	return with(c, func(s *settings) { s.work = w })
}

// given binds the last argument of an experiment's run.
func given(f func(*arena, contestant, int) (values, error), n int) func(*arena, contestant, int) (values, error) {
	return func(a *arena, c contestant, _ int) (values, error) { return f(a, c, n) }
}

func cpu(bounds ...bound) metric { return metric{name: "CPU", unit: "ns per packet", bounds: bounds} }

func throughput(bounds ...bound) metric {
	return metric{name: "throughput", unit: "1000 packets per second", bounds: bounds}
}

// allocations must be none: below one for each batch of 64. What a run's few reports to the harness allocate is more
// than zero.
var allocations = metric{name: "allocations", unit: "per packet", alone: true, bounds: []bound{atMost("", 0.01)}}

var allocationsReported = metric{name: "allocations", unit: "per packet", alone: true}

func trip(bounds ...bound) []metric {
	return []metric{{name: "median", unit: "µs", bounds: bounds}, {name: "99th percentile", unit: "µs"}}
}

// experiments are the figures that must be shown, in the order of the table. So many packets wait in most that drain
// a queue, and more where the wall time counts.
func experiments(packets, more int) []experiment {
	waiting := fmt.Sprintf("%d packets of %d bytes waiting on INPUT of lo, then read by one program, dropped after the queue", packets, packetSize)
	sameCore := func(s *settings) { s.cores = []int{lastCore()} }
	const lostTotal = 100000
	return []experiment{
		{name: "drain", about: "accept all; " + waiting, run: given(drain, packets),
			contestants: plain(ipqReader, lnfqReader, limitReader, chifflierReader, goNfqueueReader),
			metrics:     []metric{cpu(atMost(lnfqReader, 0.55), atMost(limitReader, 1.15)), allocations}},
		{name: "one-queue", about: fmt.Sprintf("accept all, wall time, the generator done and the other cores free; %d packets waiting, dropped after the queue", more), run: given(drain, more),
			contestants: append(plain(ipqReader, lnfqReader, limitReader, goNfqueueReader),
				contestant{name: limitSplit, reader: limitReader, settings: settings{queues: 1, threads: 2}}),
			metrics: []metric{throughput(atLeast(lnfqReader, 3.0), atLeast(limitSplit, 0.8))}},
		{name: "flood", about: "accept all, one core generating all it can on INPUT of lo, dropped after the queue", run: flood,
			contestants: plain(ipqReader, lnfqReader, limitReader, chifflierReader, goNfqueueReader),
			metrics:     []metric{throughput(atLeast(lnfqReader, 1.8), atLeast(limitReader, 0.88))}},
		{name: "paced", about: "accept all, 2000 packets per second on INPUT of lo, dropped after the queue", run: given(paced, 2000),
			contestants: plain(ipqReader, lnfqReader, limitReader, chifflierReader, goNfqueueReader),
			metrics:     []metric{cpu(atMost(lnfqReader, 1.5))}},
		{name: "alternate", about: "accept and drop in turn; " + waiting, run: given(drain, packets),
			contestants: doing(alternate, plain(ipqReader, lnfqReader, limitReader, goNfqueueReader)),
			metrics:     []metric{cpu(atMost(lnfqReader, 0.70), atMost(limitReader, 1.17)), allocations}},
		{name: "mark", about: "accept with mark 1 and 2 in turn; " + waiting, run: given(drain, packets),
			contestants: doing(mark, plain(ipqReader, lnfqReader, limitReader, goNfqueueReader)),
			metrics:     []metric{cpu(atMost(lnfqReader, 0.70), atMost(limitReader, 1.17)), allocations}},
		{name: "rewrite", about: "UDP payload rewritten, checksums right; " + waiting, run: given(drain, packets),
			contestants: doing(rewrite, plain(ipqReader, lnfqReader, limitReader)),
			metrics:     []metric{cpu(atMost(lnfqReader, 0.80), atMost(limitReader, 1.2)), allocations}},
		{name: "hold", about: "held, accepted from two other goroutines; " + waiting, run: given(drain, packets),
			contestants: append(doing(hold, plain(ipqReader)), plain(lnfqReader)...),
			metrics:     []metric{cpu(), allocationsReported}},
		{name: "trip-same", about: "one packet at a time, queued on its way to a program that sends it back; all on one core", run: given(roundTrip, lastCore()),
			contestants: with(plain(ipqReader, lnfqReader, limitReader, goNfqueueReader, noReader), sameCore),
			metrics:     trip(atMost(lnfqReader, 1.15))},
		{name: "trip-across", about: "the same, the reader alone on another core", run: given(roundTrip, firstCore()),
			contestants: with(plain(ipqReader, lnfqReader, limitReader, goNfqueueReader, noReader), sameCore),
			metrics:     trip(atMost(lnfqReader, 1.1))},
		{name: "trip-busy", about: "the same, ipq with a BusyPoll of 100 µs, the reader alone on another core", run: given(roundTrip, firstCore()),
			contestants: with(append([]contestant{
				{name: "ipq, BusyPoll", reader: ipqReader, settings: settings{queues: 1, busypoll: 100 * time.Microsecond}},
				{name: limitAwake, reader: limitReader, settings: settings{queues: 1, busypoll: 100 * time.Microsecond}},
			}, plain(lnfqReader)...), sameCore),
			metrics: trip(atMost(lnfqReader, 0.55), atMost(limitAwake, 1.1))},
		{name: "lost", about: fmt.Sprintf("one packet at a time there and back, %d in all, the reader's program allocating", lostTotal),
			run: func(a *arena, c contestant, rounds int) (values, error) {
				return lostRoundTrips(a, c, (lostTotal+rounds-1)/rounds)
			},
			contestants: with(plain(ipqReader), func(s *settings) { s.allocate = true }),
			metrics:     []metric{{name: "lost", unit: "packets in all", sum: true, alone: true, bounds: []bound{atMost("", 0)}}, {name: "packets", unit: "in all", sum: true, alone: true}}},
		{name: "tcp", about: "one TCP flow over a veth pair, MTU 1500, GSO on, queued on INPUT", run: bulk,
			contestants: with(plain(ipqReader, noReader, lnfqReader, limitReader, goNfqueueReader), func(s *settings) { s.gso = true }),
			metrics:     []metric{{name: "throughput", unit: "Gbit/s", bounds: []bound{atLeast("not queued", 0.95), atLeast(limitReader, 0.95)}}}},
		{name: "idle", about: "two seconds with nothing to do", run: idle, rounds: 3,
			contestants: plain(ipqReader, lnfqReader, limitReader, goNfqueueReader),
			metrics: []metric{{name: "CPU", unit: "% of a core", alone: true, bounds: []bound{atMost("", 0.1)}},
				{name: "memory", unit: "MiB resident", alone: true, bounds: []bound{atMost("", 16)}}}},
		{name: "two-queues", about: "two queues on two cores, balanced by address, against one; wall time; " + waiting, run: given(drain, packets),
			contestants: oneAndTwo(ipqReader, lnfqReader, limitReader, goNfqueueReader),
			metrics:     []metric{throughput()}},
		{name: "emulate", about: fmt.Sprintf("accept all, one packet at a time by a program that uses libipq, served by ipq emulate; %d packets waiting, %d times, wall time, none lost", burst, packets/burst), run: given(bursts, packets),
			contestants: plain(emulateReader, lnfqReader),
			metrics:     []metric{throughput(atLeast(lnfqReader, 0.5)), {name: "memory", unit: "MiB resident, with the service", alone: true, bounds: []bound{atMost("", 64)}}}},
	}
}

// The limit reader with a second thread, which answers, and as one that stays awake.
const (
	limitSplit = "limit, two threads"
	limitAwake = "limit, awake"
)

// oneAndTwo are readers of two queues, each followed by the same of one queue.
func oneAndTwo(readers ...string) []contestant {
	var c []contestant
	for _, r := range readers {
		c = append(c, contestant{name: r + ", two queues", reader: r, settings: settings{queues: 2}}, contestant{name: r + ", one queue", reader: r, settings: settings{queues: 1}})
	}
	return c
}
