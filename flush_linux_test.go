package ipq_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
)

// deaf makes every send to the peer fail, while what it sends goes on to arrive.
func (p *peer) deaf() {
	p.t.Helper()
	raw, err := p.file.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	if ctlErr := raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_RD) }); err != nil || ctlErr != nil {
		p.t.Fatal(err, ctlErr)
	}
}

// Answers that are sent beside the receive loop, by the timer or because a packet was held for too long, may fail to be sent.
// The receive loop returns the error, also while it waits and although no packet comes any more.
func TestErrorBesideTheReceiveLoop(t *testing.T) {
	sent := func(q *ipq.Queue) bool { return q.Stats().Latency.Quantile(1) > 0 } // or tried to
	for name, test := range map[string]struct {
		config  ipq.Config
		handler ipq.Handler
	}{
		"timer": {ipq.Config{}, func(p *ipq.Packet) ipq.Verdict {
			if p.ID.Uint32() == 1 {
				return ipq.Accept
			}
			for end := time.Now().Add(patience); !sent(p.Queue()) && time.Now().Before(end); time.Sleep(time.Millisecond) {
			}
			return ipq.Hold // so that nothing is sent by the loop itself
		}},
		"timer, bounded": {ipq.Config{HandlerTimeout: time.Hour}, func(p *ipq.Packet) ipq.Verdict {
			if p.ID.Uint32() == 1 {
				return ipq.Accept
			}
			for end := time.Now().Add(patience); !sent(p.Queue()) && time.Now().Before(end); time.Sleep(time.Millisecond) {
			}
			return ipq.Hold
		}},
		"late handler": {ipq.Config{HandlerTimeout: time.Millisecond}, func(p *ipq.Packet) ipq.Verdict {
			if p.ID.Uint32() == 1 {
				for end := time.Now().Add(patience); !sent(p.Queue()) && time.Now().Before(end); time.Sleep(time.Millisecond) {
				}
			}
			return ipq.Hold
		}},
		"held for too long": {ipq.Config{HoldTimeout: time.Millisecond}, func(*ipq.Packet) ipq.Verdict { return ipq.Hold }},
	} {
		t.Run(name, func(t *testing.T) {
			p, q := newPeer(t, test.config)
			p.packet(1, "x")
			p.packet(2, "y")
			p.deaf()
			done := make(chan error, 1)
			go func() { done <- q.Serve(t.Context(), test.handler) }()
			if err := soon(t, done, "Serve to end"); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("Serve: %v", err)
			}
			if err := q.SetReadDeadline(time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
}
