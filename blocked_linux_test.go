package ipq_test

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// What a socket has sent counts for its send buffer as long as it is held at Output: the sender waits, and no counter moves.
func TestSenderIsBlocked(t *testing.T) {
	host := sandbox.Setup(t, 1).Hosts[0]
	q := open(t, ipq.Config{Queue: 900})
	ids := make(chan ipq.ID, 1024)
	serve(t, q, func(p *ipq.Packet) ipq.Verdict {
		ids <- p.ID
		return ipq.Hold
	})
	const port = 4000
	feed(t, 900, rules.Chain{Hook: rules.Output, Match: []rules.Match{{
		Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(port)}}}})
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(s)
	send := func() error {
		return syscall.Sendto(s, make([]byte, 1000), 0, &syscall.SockaddrInet4{Port: port, Addr: host.IPv4.As4()})
	}
	sent := 0
	for err = send(); err == nil && sent < cap(ids); err = send() {
		sent++
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("after %d datagrams: %v, want EAGAIN", sent, err)
	}
	t.Logf("a sender waits with %d datagrams of 1,000 bytes held", sent)
	held := make([]ipq.ID, sent)
	for i := range held {
		held[i] = soon(t, ids, "a datagram")
	}
	if k := q.Stats().Kernel; k == nil || k.QueueDropped+k.UserDropped != 0 {
		t.Errorf("the kernel has counted %+v, want no loss", k)
	}
	for _, id := range held {
		if err := q.SetVerdict(id, ipq.Drop); err != nil {
			t.Fatal(err)
		}
	}
	end := time.Now().Add(patience)
	for err = send(); errors.Is(err, syscall.EAGAIN) && time.Now().Before(end); err = send() {
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Fatalf("after all were answered: %v", err)
	}
	if err := q.SetVerdict(soon(t, ids, "the last datagram"), ipq.Drop); err != nil {
		t.Error(err)
	}
}
