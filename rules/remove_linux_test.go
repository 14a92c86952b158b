package rules_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// hold reads a queue and keeps the first packet back.
func hold(t *testing.T, queue uint16) (q *ipq.Queue, held chan ipq.ID) {
	t.Helper()
	held = make(chan ipq.ID, 1)
	first := true
	q = serve(t, ipq.Config{Queue: queue}, func(p *ipq.Packet) ipq.Verdict {
		if first {
			first = false
			held <- p.ID
			return ipq.Hold
		}
		return ipq.Accept
	})
	return q, held
}

// Remove loses nothing that waits, also where its rules are the only ones that use connection tracking.
func TestRemoveWaitsForQueues(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for name, match := range map[string]rules.Match{"": {}, " states": {States: rules.New | rules.Established}, " first packets": {FirstPackets: 1000}} {
		for way, install := range ways(t) {
			t.Run(way+name, func(t *testing.T) {
				for i := range uint16(5) { // Remove has a second of patience, and the machine may be slower
					p := one(rules.Output, 0, match)
					p.Target.Queue = 950 + i
					if removeWaits(t, install, p) {
						return
					}
				}
				t.Error("Remove did not wait for the queues")
			})
		}
	}
}

// removeWaits removes a plan while a packet waits in its queue, and reports whether Remove was patient until it was answered.
func removeWaits(t *testing.T, install func(rules.Plan) (*rules.Table, error), plan rules.Plan) bool {
	q, held := hold(t, plan.Target.Queue)
	s := listen(t, "127.0.0.1:0")
	table, err := install(plan)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	s.send(t, "held")
	id := <-held

	// Neither looking what the kernel can do nor other people's rules lose it.
	if _, err := rules.Probe(""); err != nil {
		t.Error(err)
	}
	removed := make(chan error, 1)
	go func() { removed <- table.Remove(t.Context()) }()
	// As soon as the rules are out nothing is queued any more: then this passes without a verdict of ours.
	other := listen(t, "127.0.0.1:0")
	for before := q.Stats().Received; ; before = q.Stats().Received {
		if !other.echo(t, "passes") {
			t.Fatal("a datagram did not arrive")
		}
		if q.Stats().Received == before {
			break
		}
		select {
		case err := <-removed:
			if !errors.Is(err, rules.ErrStillQueued) {
				t.Fatalf("Remove returned %v with a packet in the queue, and while packets were queued", err)
			}
			return false
		default:
		}
	}
	destroyed(t)
	select {
	case err := <-removed:
		if !errors.Is(err, rules.ErrStillQueued) {
			t.Fatalf("Remove returned %v with a packet in the queue", err)
		}
		return false
	default:
	}
	q.SetVerdict(id, ipq.Accept)
	switch err := <-removed; {
	case errors.Is(err, rules.ErrStillQueued):
		return false
	case err != nil:
		t.Errorf("Remove = %v", err)
	}
	if !s.gets(t, "held") {
		t.Error("the packet that waited was lost")
	}
	if slices.Contains(tables(t), table.Name()) {
		t.Error("the table is still there")
	}
	return true
}

// Remove does not wait forever, nor longer than its context, and says what it has cost.
func TestRemoveLosesPatience(t *testing.T) {
	sandbox.RequireNamespaces(t)
	if took := losePatience(t, 932, time.Hour); took < time.Second || took > time.Minute {
		t.Errorf("Remove took %v, want a second", took)
	}
	const limit = 10 * time.Millisecond
	for i := range uint16(5) { // a machine may be slow
		took := losePatience(t, 940+i, limit)
		if took < limit {
			t.Errorf("Remove took %v, want %v", took, limit)
		}
		if took < time.Second {
			return
		}
	}
	t.Errorf("Remove takes a second although its context ends after %v", limit)
}

// losePatience removes a plan while a packet waits that nobody answers, and returns how long that took.
func losePatience(t *testing.T, queue uint16, limit time.Duration) time.Duration {
	t.Helper()
	_, held := hold(t, queue)
	s := listen(t, "127.0.0.1:0")
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: queue}, Chains: []rules.Chain{{Hook: rules.Output}}})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	s.send(t, "lost")
	<-held
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := time.Now()
	err = table.Remove(ctx)
	took := time.Since(start)
	if !errors.Is(err, rules.ErrStillQueued) || !strings.Contains(err.Error(), "the 1 that waited") {
		t.Errorf("Remove = %v", err)
	}
	if slices.Contains(tables(t), table.Name()) {
		t.Error("the table is still there")
	}
	return took
}

// A packet that comes back while Remove waits passes, and goes on without the plan's mark.
func TestRemoveWithRepeatMark(t *testing.T) {
	sandbox.RequireNamespaces(t)
	const bit, other = 0x1000, 0x6
	q, held := hold(t, 937)
	behind := open(t, 938)
	next := one(rules.Postrouting, 0)
	next.Target.Queue = 938
	installed(t, rules.Install, next)
	p := one(rules.Output, 0)
	p.Target.Queue, p.RepeatMark = 937, bit
	table, err := rules.Install(p)
	if err != nil {
		t.Fatal(err)
	}
	s := listen(t, "127.0.0.1:0")
	mark(t, s, other)
	s.send(t, "held")
	id := <-held
	if err := rules.Disable(table); err != nil { // what Remove does before it waits
		t.Fatal(err)
	}
	if err := q.SetVerdict(id, ipq.Repeat, ipq.Changes{Mark: bit, MarkMask: bit}); err != nil {
		t.Error(err)
	}
	if !s.gets(t, "held") {
		t.Error("the packet that was repeated was lost")
	}
	if packets, _ := behind.take(); len(packets) != 1 || packets[0].Mark != other {
		t.Errorf("behind the plan came %v, want one packet with the mark %#x", packets, other)
	}
	if err := table.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

// A plan that the kernel refuses costs no packet that waits.
func TestRefusedInstallKeepsPackets(t *testing.T) {
	sandbox.RequireNamespaces(t)
	missing := rules.Native
	if hasNative(t) {
		missing = rules.Compat
	}
	q, held := hold(t, 934)
	p := one(rules.Output, 0, rules.Match{Protocols: protocols(rules.UDP)})
	p.Target.Queue = 934
	installed(t, rules.Install, p)
	s := listen(t, "127.0.0.1:0")
	s.send(t, "held")
	id := <-held
	for name, match := range map[string]rules.Match{
		"any": {}, "states": {States: rules.New}, "first packets": {FirstPackets: 8}, "exception": {Except: []rules.Match{{States: rules.New}}},
	} {
		p := one(rules.Input, 0, match)
		p.Encoding = missing
		if table, err := rules.Install(p); err == nil {
			table.Remove(t.Context())
			return // the kernel has both encodings, and refuses no valid plan
		}
		destroyed(t)
		if stats := q.Stats(); stats.Kernel == nil || stats.Kernel.Waiting != 1 {
			t.Errorf("%s: after the refusal the queue holds %+v, want one packet", name, stats.Kernel)
		}
	}
	if err := q.SetVerdict(id, ipq.Accept); err != nil {
		t.Error(err)
	}
	if !s.gets(t, "held") {
		t.Error("the packet that waited was lost")
	}
}
