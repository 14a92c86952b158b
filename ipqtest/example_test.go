//go:build linux

package ipqtest_test

import (
	"context"
	"testing"

	"ipq"
	"ipq/ipqtest"
)

// blockTelnet is the handler of some program.
func blockTelnet(p *ipq.Packet) ipq.Verdict {
	if len(p.Payload) >= 24 && p.Payload[9] == 6 && p.Payload[22] == 0 && p.Payload[23] == 23 {
		return ipq.Drop
	}
	return ipq.Accept
}

// A test of a handler, in any package: no privilege, no rules, no namespace.
func TestExample(t *testing.T) {
	k := ipqtest.New(t)
	q, err := ipq.Open(ipq.Config{File: k.File()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- q.Serve(ctx, blockTelnet) }()

	syn := make([]byte, 40)
	syn[0], syn[9] = 0x45, 6 // IPv4, TCP
	for port, want := range map[byte]ipq.Verdict{22: ipq.Accept, 23: ipq.Drop} {
		syn[23] = port
		e := k.Inject(ipqtest.Packet{Hook: ipq.Input, Payload: syn})
		if got := e.Result(); got.Verdict != want {
			t.Errorf("port %d: %v, want %v", port, got.Verdict, want)
		}
	}
	cancel()
	<-done
	q.Close()
}
