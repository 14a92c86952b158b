package ipqueue_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
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

// A packet that is sent after a mode comes in that mode, whatever waits before the
// mode: more than is received at once, and a message whose acknowledgement waits
// for what it led to.
func TestOrderOfModes(t *testing.T) {
	h := open(t, ipqueue.Config{})
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyMeta, 0)
	request := func(mode uint8, flags uint16) {
		p.send(p.message(wire.IPQTypeMode, flags, p.layout.AppendMode(nil, wire.IPQMode{Value: mode})))
	}
	noise := p.message(wire.IPQTypeBase, wire.IPQFlagRequest, nil) // ignored
	for round := range 600 {
		mode := uint8(wire.IPQCopyMeta + round%2)
		acks := 0
		switch round / 2 % 3 {
		case 1:
			for range 100 {
				p.send(noise)
			}
		case 2:
			for range 3 {
				request(wire.IPQCopyMeta+wire.IPQCopyPacket-mode, wire.IPQFlagRequest|wire.IPQFlagAck)
				acks++
			}
		}
		request(mode, wire.IPQFlagRequest)
		n.send(t, "7001", 10)
		for range acks {
			p.wantReply(0)
		}
		m, payload := p.wantPacket()
		if (len(payload) > 0) != (mode == wire.IPQCopyPacket) {
			t.Fatalf("round %d: the packet after mode %d has %d bytes", round, mode, len(payload))
		}
		p.verdict(m.ID, wire.IPQVerdictDrop, nil)
	}
}

// The same behind a burst, in which the programs are waited for once.
func TestOrderOfModesBehindBursts(t *testing.T) {
	h := open(t, ipqueue.Config{})
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyMeta, 0)
	const burst = 100
	for round := range 100 {
		mode := uint8(wire.IPQCopyMeta + round%2)
		for range burst {
			n.send(t, "7001", 10)
		}
		p.send(p.message(wire.IPQTypeMode, wire.IPQFlagRequest, p.layout.AppendMode(nil, wire.IPQMode{Value: mode})))
		n.send(t, "7001", 10)
		for i := range burst + 1 {
			m, payload := p.wantPacket()
			if i == burst && (len(payload) > 0) != (mode == wire.IPQCopyPacket) {
				t.Fatalf("round %d: the packet after mode %d has %d bytes", round, mode, len(payload))
			}
			p.verdict(m.ID, wire.IPQVerdictDrop, nil)
		}
	}
}

// A place in the queue is free as soon as the verdict has been sent.
func TestOrderOfVerdictAndPacket(t *testing.T) {
	h := open(t, ipqueue.Config{MaxLen: 1})
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyMeta, 0)
	for range 300 {
		n.send(t, "7001", 10)
		m, _ := p.wantPacket()
		p.verdict(m.ID, wire.IPQVerdictDrop, nil)
	}
	if s := status(h, ipqueue.IPv4); s.QueueDropped != 0 {
		t.Errorf("%d packets found the queue full", s.QueueDropped)
	}
}

// Packets go on in the order of their verdicts, whatever it is, also when these
// are given at once.
func TestOrderOfVerdicts(t *testing.T) {
	h := open(t, ipqueue.Config{})
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyMeta, 0)
	for round := range 500 {
		ids := make([]uint64, 12)
		for i := range ids {
			n.send(t, "7001", 1+i)
			m, _ := p.wantPacket()
			ids[i] = m.ID
		}
		order := rand.Perm(len(ids))
		for _, i := range order {
			p.verdict(ids[i], wire.IPQVerdictAccept, nil)
		}
		for at, i := range order {
			if got := n.arrived(t, patience); got != 1+i {
				t.Fatalf("round %d: packet %d arrived as number %d; the verdicts were in the order %v", round, got-1, at, order)
			}
		}
	}
}

// What a verdict led to precedes its acknowledgement: here the packet, which
// comes again. The handler's goroutines have to wait for a processor anywhere, so
// that the program answers while they are not done with what they have just sent.
func TestOrderOfAcknowledgement(t *testing.T) {
	h := open(t, ipqueue.Config{})
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyMeta, 0)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8 * runtime.NumCPU()))
	var stop atomic.Bool
	defer stop.Store(true)
	for range 4 * runtime.NumCPU() {
		go func() {
			for !stop.Load() {
			}
		}()
	}
	n.send(t, "7001", 10)
	for range 500 {
		m, _ := p.wantPacket()
		v := wire.IPQ64.AppendVerdict(nil, wire.IPQVerdict{Value: wire.IPQVerdictRepeat, ID: m.ID})
		p.send(p.message(wire.IPQTypeVerdict, wire.IPQFlagRequest|wire.IPQFlagAck, v))
		again, _ := p.wantPacket()
		p.wantReply(0)
		p.verdict(again.ID, wire.IPQVerdictRepeat, nil)
	}
}
