package rules_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// A train of datagrams that begins a connection arrives whole by a plan without warnings, and with FlagGSO by any.
func TestTrains(t *testing.T) {
	sandbox.RequireNamespaces(t)
	udp := []rules.Match{{Protocols: protocols(rules.UDP)}}
	tracking := one(rules.Input, 0, rules.Match{States: rules.New, Dst: prefixes("192.0.2.1")})
	tracking.Target.Bypass = true
	installed(t, rules.Install, tracking)
	for name, c := range map[string]struct {
		flags  ipq.Flags
		chains []rules.Chain
	}{
		"once":             {0, []rules.Chain{{Hook: rules.Output, Match: udp}}},
		"before and after": {0, []rules.Chain{{Hook: rules.Output, Priority: -300, Match: udp}, {Hook: rules.Postrouting, Match: udp}}},
		"twice, whole":     {ipq.FlagGSO, []rules.Chain{{Hook: rules.Output, Match: udp}, {Hook: rules.Postrouting, Match: udp}}},
		"twice":            {0, []rules.Chain{{Hook: rules.Output, Match: udp}, {Hook: rules.Postrouting, Match: udp}}},
	} {
		t.Run(name, func(t *testing.T) {
			const length, size = 10, 1000
			plan := rules.Plan{Target: rules.Target{Queue: 936}, Chains: c.chains}
			serve(t, ipq.Config{Queue: 936, Flags: c.flags}, func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
			installed(t, rules.Install, plan)
			from, to := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
			raw, err := from.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) })
			sandbox.Require(t, "UDP_SEGMENT", err == nil, "requires at least Linux 4.18")
			if _, err := from.WriteTo(make([]byte, length*size), to.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			// What is sent afterwards, by a connection of its own, is behind them in the receiver's buffer.
			last := listen(t, "127.0.0.1:0")
			if _, err := last.WriteTo([]byte("the end"), to.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			arrived := 0
			for to.gets(t, string(make([]byte, size))) {
				arrived++
			}
			if warned := plan.Warnings() != nil; arrived != length && (!warned || c.flags&ipq.FlagGSO != 0) {
				t.Errorf("arrived: %d datagrams of %d", arrived, length)
			} else if warned {
				t.Logf("by a plan with a warning arrived %d datagrams of %d", arrived, length)
			}
		})
	}
}
