package rules_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"ipq"
	"ipq/packet"
	"ipq/rules"
)

// tap reads a queue and accepts everything.
type tap struct {
	mu      sync.Mutex
	packets []*ipq.Packet
	headers []packet.Headers
	arrived chan struct{} // gets a value, if there is room, for each packet
}

// open binds a queue of the sandbox and reads it until the test ends.
func open(t *testing.T, queue uint16) *tap {
	t.Helper()
	tap := &tap{arrived: make(chan struct{}, 1000)}
	serve(t, ipq.Config{Queue: queue}, func(p *ipq.Packet) ipq.Verdict {
		tap.mu.Lock()
		defer tap.mu.Unlock()
		c := p.Clone()
		var h packet.Headers
		h.Parse(c.Payload)
		tap.packets, tap.headers = append(tap.packets, c), append(tap.headers, h)
		select {
		case tap.arrived <- struct{}{}:
		default:
		}
		return ipq.Accept
	})
	return tap
}

// serve opens a queue and has h decide until the test ends.
func serve(t *testing.T, c ipq.Config, h ipq.Handler) *ipq.Queue {
	t.Helper()
	q, err := ipq.Open(c)
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
	return q
}

// take returns what has come since the last take.
func (p *tap) take() ([]*ipq.Packet, []packet.Headers) {
	p.mu.Lock()
	defer p.mu.Unlock()
	packets, headers := p.packets, p.headers
	p.packets, p.headers = nil, nil
	for len(p.arrived) > 0 {
		<-p.arrived
	}
	return packets, headers
}

// wait waits until n packets have arrived since the last take.
func (p *tap) wait(t *testing.T, n int) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for i := range n {
		select {
		case <-p.arrived:
		case <-timeout:
			t.Fatalf("%d packets were queued, want %d", i, n)
		}
	}
}

// installed installs a plan for the time of the test.
func installed(t *testing.T, install func(rules.Plan) (*rules.Table, error), p rules.Plan) *rules.Table {
	t.Helper()
	table, err := install(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Remove(context.Background()) })
	return table
}

// socket is a UDP socket on lo that receives what it sends to itself.
type socket struct{ *net.UDPConn }

func listen(t *testing.T, address string) socket {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return socket{c}
}

// echo sends a datagram to the socket itself and reports whether it arrives.
func (s socket) echo(t *testing.T, text string) bool {
	t.Helper()
	s.send(t, text)
	return s.gets(t, text)
}

func (s socket) send(t *testing.T, text string) {
	t.Helper()
	if _, err := s.WriteTo([]byte(text), s.LocalAddr()); err != nil {
		t.Fatal(err)
	}
}

// gets reports whether the next datagram is the text.
func (s socket) gets(t *testing.T, text string) bool {
	t.Helper()
	got, err := s.next(10 * time.Second)
	if err != nil {
		t.Error(err)
	}
	return got == text
}

// next waits so long for a datagram.
func (s socket) next(d time.Duration) (string, error) {
	buf := make([]byte, 1000)
	s.SetReadDeadline(time.Now().Add(d))
	n, err := s.Read(buf)
	return string(buf[:n]), err
}
