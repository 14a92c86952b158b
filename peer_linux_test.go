package ipq_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/wire"
	"ipq/ipqtest"
)

const patience = 10 * time.Second

// fake opens a queue of a fake kernel for the length of the test.
func fake(t *testing.T, c ipq.Config, kernel ...ipqtest.Config) (*ipqtest.Kernel, *ipq.Queue) {
	t.Helper()
	k := ipqtest.New(t, kernel...)
	c.File = k.File()
	q, err := ipq.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return k, q
}

// soon fails the test if nothing comes out of c.
func soon[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
	return v
}

// A peer is the other end of a queue's socket, which does nothing but what the test does with it: late, wrong, or never.
type peer struct {
	t    *testing.T
	file *os.File
	rest []byte // of the datagram that is being looked at
	buf  []byte

	configs map[uint32]string // bodies of the configurations that came
	acked   string            // that of the last one acknowledged
}

// opening starts to open a queue whose kernel the test plays.
func opening(t *testing.T, c ipq.Config) (p *peer, opened func() (*ipq.Queue, error)) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	p = &peer{t: t, file: os.NewFile(uintptr(fds[0]), "peer"), buf: make([]byte, 1<<18), configs: make(map[uint32]string)}
	t.Cleanup(func() { p.file.Close() })
	c.File = os.NewFile(uintptr(fds[1]), "queue")
	type result struct {
		q   *ipq.Queue
		err error
	}
	done := make(chan result, 1)
	go func() {
		q, err := ipq.Open(c)
		done <- result{q, err}
	}()
	return p, func() (*ipq.Queue, error) {
		r := soon(t, done, "Open")
		if r.q != nil {
			t.Cleanup(func() { r.q.Close() })
		}
		return r.q, r.err
	}
}

// newPeer opens a queue whose kernel the test plays itself.
func newPeer(t *testing.T, c ipq.Config) (*peer, *ipq.Queue) {
	t.Helper()
	p, opened := opening(t, c)
	p.ack(p.expect(wire.TypeConfig))
	q, err := opened()
	if err != nil {
		t.Fatal(err)
	}
	return p, q
}

// message is the next message from the queue; ok is false when it has closed. A configuration that was acknowledged, but so late
// that it has been sent again, does not come twice.
func (p *peer) message() (h wire.Header, body []byte, ok bool) {
	p.t.Helper()
	for {
		if h, body, ok = p.any(); !ok || h.Type != wire.TypeConfig {
			return h, body, ok
		}
		if p.acked != string(body) {
			p.configs[h.Seq] = string(body)
			return h, body, ok
		}
	}
}

// any is the next message, whatever it is.
func (p *peer) any() (h wire.Header, body []byte, ok bool) {
	p.t.Helper()
	for len(p.rest) == 0 {
		p.file.SetReadDeadline(time.Now().Add(patience))
		n, err := p.file.Read(p.buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.t.Fatalf("waited %v for a message from the queue", patience)
		}
		if err != nil && !errors.Is(err, unix.ECONNRESET) {
			return h, nil, false
		}
		p.rest = p.buf[:n]
	}
	h, body, rest, ok, err := wire.Next(p.rest)
	if !ok {
		p.t.Fatalf("the queue sent %x: %v", p.rest, err)
	}
	p.rest = rest
	return h, body, true
}

// expect is the next message, which must be of a type.
func (p *peer) expect(typ uint16) wire.Header {
	p.t.Helper()
	h, _, ok := p.message()
	if !ok || h.Type != typ {
		p.t.Fatalf("the queue sent a message of type %#x (%v), want %#x", h.Type, ok, typ)
	}
	return h
}

// config is the next message, which must be a configuration.
func (p *peer) config() (h wire.Header, c wire.Config) {
	p.t.Helper()
	h, body, ok := p.message()
	if !ok || h.Type != wire.TypeConfig {
		p.t.Fatalf("the queue sent a message of type %#x (%v), want a configuration", h.Type, ok)
	}
	c, err := wire.DecodeConfig(body)
	if err != nil {
		p.t.Fatal(err)
	}
	return h, c
}

func (p *peer) refuse(h wire.Header, errno syscall.Errno) {
	p.send(wire.AppendError(nil, wire.Error{Errno: int32(errno), Request: h}))
}

// verdict is the next message, which must be a verdict.
func (p *peer) verdict() (v wire.Verdict, isRange bool) {
	p.t.Helper()
	h, body, ok := p.message()
	if !ok || h.Type != wire.TypeVerdict && h.Type != wire.TypeVerdictBatch {
		p.t.Fatalf("the queue sent a message of type %#x (%v), want a verdict", h.Type, ok)
	}
	if err := wire.DecodeVerdict(&v, body); err != nil {
		p.t.Fatal(err)
	}
	return v, h.Type == wire.TypeVerdictBatch
}

func (p *peer) send(datagram []byte) {
	p.t.Helper()
	p.file.SetWriteDeadline(time.Now().Add(patience))
	if _, err := p.file.Write(datagram); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) ack(h wire.Header) {
	p.acked = p.configs[h.Seq]
	p.send(wire.AppendError(nil, wire.Error{Request: h}))
}

func (p *peer) packet(id uint32, payload string) {
	p.t.Helper()
	p.send(packetMessage(id, payload))
}

func packetMessage(id uint32, payload string) []byte {
	return wire.AppendPacket(nil, &wire.Packet{Family: 2, Hook: 1, HWProto: 0x0800, ID: id, Fields: wire.HasPayload, Payload: []byte(payload)})
}
