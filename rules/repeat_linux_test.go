package rules_test

import (
	"context"
	"testing"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// A packet that is repeated with the plan's mark is queued once at each chain that saw it without, and arrives; one that is
// repeated without it comes back.
func TestRepeatMark(t *testing.T) {
	sandbox.RequireNamespaces(t)
	const bit, other = 0x1000, 0x6
	for way, install := range ways(t) {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			for _, marks := range []bool{true, false} {
				t.Run(way+" "+address, func(t *testing.T) {
					const times = 5 // at most
					seen := make(chan uint32, times)
					plan := rules.Plan{
						Target: rules.Target{Queue: 925}, RepeatMark: bit,
						Chains: []rules.Chain{{Hook: rules.Output, Match: []rules.Match{{Protocols: protocols(rules.UDP)}}}},
					}
					serve(t, 925, func(p *ipq.Packet) ipq.Verdict {
						seen <- p.Mark
						if len(seen) == times {
							return ipq.Accept
						}
						if marks {
							p.SetMark(plan.RepeatMark, plan.RepeatMark)
						}
						return ipq.Repeat
					})
					installed(t, install, plan)
					s := listen(t, address)
					mark(t, s, other)
					if !s.echo(t, "repeated") {
						t.Fatal("the datagram did not arrive")
					}
					want := times
					if marks {
						want = 1
					}
					if len(seen) != want {
						t.Errorf("the datagram was queued %d times, want %d", len(seen), want)
					}
					if m := <-seen; m != other {
						t.Errorf("it was queued with the mark %#x, want %#x", m, other)
					}
				})
			}
		}
	}
}

// A packet needs all bits of the mark to pass.
func TestRepeatMarkOfTwoBits(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for way, install := range ways(t) {
		t.Run(way, func(t *testing.T) {
			tap := open(t, 926)
			p := one(rules.Output, 0)
			p.Target.Queue, p.RepeatMark = 926, 0x3
			installed(t, install, p)
			s := listen(t, "127.0.0.1:0")
			for set, want := range map[int]int{0: 1, 1: 1, 2: 1, 3: 0, 7: 0, 4: 1} {
				mark(t, s, set)
				if !s.echo(t, "marked") {
					t.Fatal("the datagram did not arrive")
				}
				if packets, _ := tap.take(); len(packets) != want {
					t.Errorf("mark %#x: %d packets were queued, want %d", set, len(packets), want)
				}
			}
		})
	}
}

// serve reads a queue until the test ends.
func serve(t *testing.T, queue uint16, h ipq.Handler) {
	t.Helper()
	q, err := ipq.Open(ipq.Config{Queue: queue})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- q.Serve(ctx, h) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Accept goes on with the next chain of the hook, Stop with none of them but with the next hook.
func TestAcceptGoesOnAndStopDoesNot(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for verdict, want := range map[ipq.Verdict]int{ipq.Accept: 1, ipq.Stop: 0} {
		t.Run(verdict.String(), func(t *testing.T) {
			serve(t, 927, func(*ipq.Packet) ipq.Verdict { return verdict })
			later, hook := open(t, 928), open(t, 929)
			for queue, c := range map[uint16]rules.Chain{927: {Hook: rules.Output}, 928: {Hook: rules.Output, Priority: 10}, 929: {Hook: rules.Postrouting}} {
				installed(t, rules.Install, rules.Plan{Target: rules.Target{Queue: queue}, Chains: []rules.Chain{c}})
			}
			if !listen(t, "127.0.0.1:0").echo(t, "answered") {
				t.Fatal("the datagram did not arrive")
			}
			if packets, _ := later.take(); len(packets) != want {
				t.Errorf("the later chain saw %d packets, want %d", len(packets), want)
			}
			if packets, _ := hook.take(); len(packets) != 1 {
				t.Errorf("the later hook saw %d packets, want 1", len(packets))
			}
		})
	}
}
