package ipqueue_test

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
	"ipq/ipqueue"
	"ipq/rules"
)

// flood sends datagrams from several sockets until stop is closed.
func flood(t *testing.T, stop <-chan struct{}) (wait func()) {
	var senders sync.WaitGroup
	n := &testNet{family: ipqueue.IPv4}
	for range 2 {
		raw, err := n.listen(t, "127.0.0.1", "0").SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		senders.Go(func() {
			body := make([]byte, 100)
			to := &unix.SockaddrInet4{Port: 7001, Addr: [4]byte{127, 0, 0, 1}}
			for {
				select {
				case <-stop:
					return
				default:
					raw.Control(func(fd uintptr) { unix.Sendto(int(fd), body, unix.MSG_DONTWAIT, to) })
				}
			}
		})
	}
	return senders.Wait
}

// When a mode has been acknowledged, no packet follows that was made by the mode
// before.
func TestModeIsInForceWhenAcknowledged(t *testing.T) {
	h := open(t, ipqueue.Config{})
	feed(t, 0, rules.IPv4)
	stop := make(chan struct{})
	wait := flood(t, stop)
	defer wait()
	defer close(stop)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	mode := uint8(wire.IPQCopyMeta)
	sent := false
	send := func() {
		mode = wire.IPQCopyMeta + wire.IPQCopyPacket - mode
		p.send(p.message(wire.IPQTypeMode, wire.IPQFlagRequest|wire.IPQFlagAck, p.layout.AppendMode(nil, wire.IPQMode{Value: mode})))
		sent = true
	}
	send()
	for changes, packets := 0, 0; changes < 200; {
		b := p.receive()
		if e, err := wire.DecodeIPQError(b); err == nil && wire.IPQAckSize == len(b) {
			if e.Errno != 0 {
				t.Fatalf("errno %d", e.Errno)
			}
			changes, packets, sent = changes+1, 0, false
			continue
		}
		m, payload, err := p.layout.DecodePacket(b)
		if err != nil {
			t.Fatal(err)
		}
		if !sent && (len(payload) > 0) != (mode == wire.IPQCopyPacket) {
			t.Fatalf("after %d changes, packet %d after mode %d was acknowledged has %d bytes", changes, packets, mode, len(payload))
		}
		p.verdict(m.ID, wire.IPQVerdictDrop, nil)
		if packets++; packets >= 5 && !sent {
			send()
		}
	}
}
