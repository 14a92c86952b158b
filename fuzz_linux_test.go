package ipq_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/wire"
)

// slotSize is the size of the receive buffers of a queue with this range.
const (
	fuzzRange = 64
	slotSize  = fuzzRange + 512
)

// datagrams cuts input into datagrams: each is preceded by its length, two bytes. The first byte of input says whether ids
// are as they are, or in order as a kernel numbers packets, from the id in the next four bytes on.
func datagrams(input []byte) (all [][]byte, inOrder bool) {
	if len(input) < 5 {
		return nil, true
	}
	inOrder = input[0]%4 != 0
	id := binary.BigEndian.Uint32(input[1:])
	for input = input[5:]; len(input) > 2 && len(all) < 200; {
		n := min(int(binary.BigEndian.Uint16(input))%2000, len(input)-2)
		if n > 0 {
			d := bytes.Clone(input[2 : 2+n])
			if w := packetOf(d); w != nil && inOrder {
				id += 1 + w.id%3
				number(d, id)
			}
			all = append(all, d)
		}
		input = input[2+n:]
	}
	return all, inOrder
}

// join is the inverse of datagrams.
func join(first uint32, inOrder bool, all ...[]byte) (input []byte) {
	input = binary.BigEndian.AppendUint32([]byte{0}, first)
	if inOrder {
		input[0] = 1
	}
	for _, d := range all {
		input = binary.BigEndian.AppendUint16(input, uint16(len(d)))
		input = append(input, d...)
	}
	return input
}

// number gives a packet message an id.
func number(d []byte, id uint32) {
	for d = d[20:]; len(d) >= 4; {
		size := int(binary.NativeEndian.Uint16(d))
		if size < 4 || size > len(d) {
			return
		}
		if size >= 11 && binary.NativeEndian.Uint16(d[2:])&0x3fff == 1 {
			binary.BigEndian.PutUint32(d[4:], id)
		}
		d = d[min((size+3)&^3, len(d)):]
	}
}

// packetOf is the packet that a datagram names, nil for none.
func packetOf(datagram []byte) *waiting {
	d := bytes.Clone(datagram[:min(len(datagram), slotSize)])
	if len(d) < 20 || binary.NativeEndian.Uint16(d[4:]) != wire.TypePacket {
		return nil
	}
	n := binary.NativeEndian.Uint32(d)
	if len(datagram) > slotSize {
		n = slotSize // what it says of its length is not what has arrived
	}
	if n < 16 || uint64(n) > uint64(len(d)) {
		return nil
	}
	var p wire.Packet // its decoder is fuzzed against a slow twin
	identified, err := wire.DecodePacket(&p, d[16:n])
	if !identified {
		return nil
	}
	return &waiting{id: p.ID, unreadable: err != nil || len(datagram) > slotSize}
}

// waiting is a packet in the kernel's queue.
type waiting struct {
	id         uint32
	unreadable bool // but for its id: the program never sees it
	held       bool // by the program
	answered   bool
}

// A verdictMessage is a verdict as it was sent.
type verdictMessage struct {
	wire.Header
	wire.Verdict
}

// verdicts are the ones that have been sent and not been read, without waiting for more.
func (p *peer) verdicts() (all []verdictMessage) {
	raw, err := p.file.SyscallConn()
	if err != nil {
		p.t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		for {
			n, _, err := unix.Recvfrom(int(fd), p.buf, unix.MSG_DONTWAIT)
			if err == unix.ECONNRESET {
				continue // the queue was closed with messages unread; its own are still to come
			}
			if err != nil || n == 0 {
				return
			}
			for rest := p.buf[:n]; len(rest) > 0; {
				var m verdictMessage
				var body []byte
				m.Header, body, rest, _, _ = wire.Next(rest)
				if m.Type == wire.TypeConfig {
					continue
				}
				if err := wire.DecodeVerdict(&m.Verdict, body); err != nil {
					p.t.Errorf("the queue sent %x: %v", body, err)
				}
				m.Payload = nil // in the buffer
				all = append(all, m)
			}
		}
	})
	return all
}

// Whatever the kernel says, every packet that it names gets a verdict, the counts add up, and Serve ends. If its ids are in
// order, it gets exactly one, and no range covers a packet that is held.
func FuzzServe(f *testing.F) {
	cut := wire.AppendPacket(nil, &wire.Packet{ID: 9, Fields: wire.HasL2Header | wire.HasPayload, L2Header: make([]byte, 600), Payload: []byte("x")})
	broken := wire.Pad(packetMessage(8, "x"))
	broken = wire.Shorten(append(broken, 200, 0, 3, 0))
	var many [][]byte
	for id := range uint32(150) {
		many = append(many, packetMessage(id+1<<31-70, "E"))
	}
	f.Add(join(1<<31-70, true, many...))
	f.Add(join(1<<32-70, true, many...))
	several := [][]byte{packetMessage(1, "a"), packetMessage(2, "b"), broken, cut, packetMessage(10, "c"), wire.AppendOverrun(nil)}
	f.Add(join(0, true, several...))
	f.Add(join(0, false, several...))
	f.Add(join(0, false, packetMessage(5, "a"), packetMessage(5, "b"), packetMessage(3, "c"), packetMessage(1<<31+3, "d"), packetMessage(0, "")))
	f.Add(join(0, false, packetMessage(7, "a"), wire.AppendError(nil, wire.Error{Errno: 2, Request: wire.Header{Type: wire.TypeVerdict, Seq: 7}}),
		wire.AppendError(nil, wire.Error{Errno: 1, Request: wire.Header{Type: wire.TypeConfig, Seq: 1}}), []byte{1}, make([]byte, 40)))
	f.Fuzz(func(t *testing.T, input []byte) {
		peer, q := newPeer(t, ipq.Config{Range: fuzzRange, OnDefault: func(ipq.ID, error) {}, OnVerdictError: func(ipq.ID, error) {}, OnOverrun: func(uint64) {}})
		defer peer.file.Close()
		defer q.Close()
		var queue []*waiting
		messages, inOrder := datagrams(input)
		for _, d := range messages {
			if w := packetOf(d); w != nil {
				queue = append(queue, w)
			}
		}
		sent := make(chan error, 1)
		go func() {
			raw, err := peer.file.SyscallConn()
			for _, d := range messages {
				if err == nil {
					_, err = peer.file.Write(d)
				}
			}
			raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_WR) })
			sent <- err
		}()
		var held []ipq.ID
		var verdicts []verdictMessage
		err := q.Serve(t.Context(), func(p *ipq.Packet) ipq.Verdict {
			verdicts = append(verdicts, peer.verdicts()...)
			switch p.ID.Uint32() % 7 {
			case 0:
				return ipq.Drop
			case 1:
				held = append(held, p.ID)
				return ipq.Hold
			case 2:
				panic("on purpose")
			case 3:
				return 0
			case 4:
				p.SetMark(1, 1)
				if err := p.SetVerdict(ipq.Accept); err != nil {
					t.Error(err)
				}
			case 5:
				b := append(bytes.Clone(p.Payload), 1)
				if err := p.SetRawPayload(b); err != nil && !errors.Is(err, ipq.ErrGSO) {
					t.Error(err)
				}
			}
			return ipq.Accept
		})
		if err == nil || errors.Is(err, os.ErrClosed) {
			t.Errorf("Serve: %v, want that the other end is gone", err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		// Where ids go back the queue must have been bound anew, and what was held before is gone.
		if s := q.Stats(); s.Received != uint64(len(queue)) || s.Open > len(held) || inOrder && s.Open < len(held) ||
			s.Received-uint64(s.Open) != s.Accepted+s.Dropped+s.Repeated+s.Stopped+s.Requeued {
			t.Errorf("stats %+v, want %d received and %d open", s, len(queue), len(held))
		}
		if !inOrder {
			for _, id := range held {
				if err := q.SetVerdict(id, ipq.Accept); err != nil && !errors.Is(err, ipq.ErrAnswered) {
					t.Errorf("a held packet: %v", err)
				}
			}
			if s := q.Stats(); s.Open != 0 {
				t.Errorf("stats %+v, want none open", s)
			}
			return
		}
		for _, w := range queue {
			w.held = !w.unreadable && slices.ContainsFunc(held, func(id ipq.ID) bool { return id.Uint32() == w.id })
		}
		verdicts = append(verdicts, peer.verdicts()...)
		for _, m := range verdicts {
			take(t, queue, m.ID, m.Type == wire.TypeVerdictBatch)
		}
		for _, w := range queue {
			if w.held == w.answered {
				t.Errorf("packet %d: held %v, answered %v", w.id, w.held, w.answered)
			}
			w.held = false
		}
		slices.Reverse(held)
		for _, id := range held {
			if err := q.SetVerdict(id, ipq.Accept); err != nil {
				t.Errorf("a held packet: %v", err)
			}
		}
		q.Close()
		for _, m := range peer.verdicts() {
			take(t, queue, m.ID, m.Type == wire.TypeVerdictBatch)
		}
		for _, w := range queue {
			if !w.answered {
				t.Errorf("packet %d has no verdict", w.id)
			}
		}
	})
}

// take carries a verdict out on the packets of a queue, in the order in which they were sent.
func take(t *testing.T, queue []*waiting, id uint32, isRange bool) {
	t.Helper()
	of := func(w *waiting) bool { return w.id == id && !w.answered && !w.held }
	end := slices.IndexFunc(queue, of)
	if end < 0 {
		t.Errorf("a verdict for packet %d, which does not wait for one", id)
		return
	}
	if !isRange {
		queue[end].answered = true
		return
	}
	for _, w := range queue[:end+1] {
		if w.held {
			t.Errorf("a range up to %d covers packet %d, which is held", id, w.id)
		}
		w.answered = true
	}
}
