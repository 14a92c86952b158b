package ipq

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// While answers refer to receive buffers, the loop sends them itself; when they have been sent, the second thread may again.
func TestBuffersAreFreeWhenSent(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer := os.NewFile(uintptr(fds[0]), "peer")
	defer peer.Close()
	send := func(b []byte) {
		t.Helper()
		if _, err := peer.Write(b); err != nil {
			t.Error(err)
		}
	}
	go send(wire.AppendError(nil, wire.Error{Request: wire.Header{Type: wire.TypeConfig, Seq: 1}}))
	q, err := Open(Config{File: os.NewFile(uintptr(fds[1]), "queue")})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var b Batch
	recv := func(id uint32) *Packet {
		t.Helper()
		send(wire.AppendPacket(nil, &wire.Packet{Family: 2, ID: id, Fields: wire.HasPayload, Payload: make([]byte, 400)}))
		if err := q.Recv(&b); err != nil {
			t.Fatal(err)
		}
		return b.Packet(0)
	}
	p := recv(1)
	if err := p.SetRawPayload(p.Payload); err != nil {
		t.Fatal(err)
	}
	q.outbox.mu.Lock()
	q.outbox.claim(p.ID.seq, nil)
	q.outbox.add(p.ID.seq, p.facts, Accept, &p.changes)
	q.outbox.mu.Unlock()
	r := &relay{q: q, ownAt: 1 << 20, wakeAt: 1 << 20}
	if r.pass() {
		t.Error("an answer that refers to a receive buffer was left to the second thread")
	}
	recv(2)
	if !r.pass() {
		t.Error("the second thread stays off although the answer has been sent")
	}
}
