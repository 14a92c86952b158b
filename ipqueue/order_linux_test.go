package ipqueue_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
	"ipq/ipqueue"
	"ipq/rules"
)

// What a program has sent, or closed, counts from then on, as if the kernel had
// acted on it meanwhile: the first packet after a mode is not lost, and the
// place of a socket is free as soon as it is closed.
func TestOrderOfRequests(t *testing.T) {
	h := open(t, ipqueue.Config{})
	path := serve(t, h, 0o600)
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	pid := uint32(os.Getpid())
	for range 200 {
		p := dial(t, path, ipqueue.IPv4, wire.IPQ64, pid)
		p.send(p.message(wire.IPQTypeMode, wire.IPQFlagRequest, wire.IPQ64.AppendMode(nil, wire.IPQMode{Value: wire.IPQCopyMeta})))
		n.send(t, "7001", 10)
		m, _ := p.wantPacket()
		p.verdict(m.ID, wire.IPQVerdictDrop, nil)
		if _, err := ipqueue.Dial(path, ipqueue.Hello{Family: ipqueue.IPv4, PID: int(pid)}); !errors.Is(err, unix.EADDRINUSE) {
			t.Fatalf("a second socket of one process: %v", err)
		}
		p.close()
	}
}
