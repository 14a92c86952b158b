package ipq_test

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"ipq"
	"ipq/internal/wire"
	"ipq/packet"
)

// A feeder is a kernel that allocates nothing while it runs: it sends the same packet again and again and reads the
// verdicts.
type feeder struct {
	*peer
	packet []byte // a message
	last   uint32 // id of the last packet sent
	open   []bool // of the packets of this round, those without a verdict
}

func newFeeder(t *testing.T, c ipq.Config) (*feeder, *ipq.Queue) {
	t.Helper()
	p, q := newPeer(t, c)
	payload := make([]byte, 100)
	copy(payload, []byte{0x45, 0, 0, 100, 0, 1, 0, 0, 64, 17, 0, 0, 10, 7, 0, 1, 10, 7, 0, 2, 0x13, 0x88, 0, 53, 0, 80})
	if err := packet.UpdateChecksums(payload); err != nil {
		t.Fatal(err)
	}
	ct := wire.AppendConntrack(nil, &wire.Conntrack{Mark: 7})
	return &feeder{peer: p, packet: wire.AppendPacket(nil, &wire.Packet{Family: 2, Hook: 1, HWProto: 0x0800,
		Fields: wire.HasPayload | wire.HasCT, Payload: payload, CT: ct})}, q
}

// idOffset is where a packet message has the id: behind nlmsghdr, nfgenmsg and the header of the attribute.
const idOffset = 16 + 4 + 4

// feed sends n packets and reads until all of them have a verdict. It returns false when something was not as expected.
func (f *feeder) feed(n int) bool {
	first := f.last + 1
	f.open = slices.Grow(f.open[:0], n)[:n]
	for i := range n {
		f.last++
		f.open[i] = true
		binary.BigEndian.PutUint32(f.packet[idOffset:], f.last)
		if _, err := f.file.Write(f.packet); err != nil {
			return false
		}
	}
	for left := n; left > 0; {
		size, err := f.file.Read(f.buf)
		if err != nil {
			return false
		}
		rest, body := f.buf[:size], []byte(nil)
		for len(rest) > 0 {
			var h wire.Header
			var v wire.Verdict
			h, body, rest, _, _ = wire.Next(rest)
			if wire.DecodeVerdict(&v, body) != nil || v.ID < first || v.ID > f.last {
				return false
			}
			at := int(v.ID - first)
			from := at
			if h.Type == wire.TypeVerdictBatch {
				from = 0
			}
			for i := from; i <= at; i++ {
				if f.open[i] {
					f.open[i] = false
					left--
				}
			}
		}
	}
	return true
}

// Nothing is allocated for a packet, whatever is done with it.
func TestAllocations(t *testing.T) {
	scratch := make([]byte, 100)
	held := make(chan ipq.ID, 64)
	for _, test := range []struct {
		name    string
		config  ipq.Config
		handler ipq.Handler
		read    func(q *ipq.Queue) // instead of Serve
		pending []byte             // instead of the packet, one that has left a checksum to the hardware
	}{
		{name: "accept", handler: func(*ipq.Packet) ipq.Verdict { return ipq.Accept }},
		{name: "alternating", handler: func(p *ipq.Packet) ipq.Verdict {
			if p.ID.Uint32()%2 == 0 {
				return ipq.Drop
			}
			return ipq.Accept
		}},
		{name: "marks", handler: func(p *ipq.Packet) ipq.Verdict {
			p.SetMark(p.ID.Uint32(), 0xffff)
			if p.SetConnMark(1, 1) != nil {
				return ipq.Drop
			}
			return ipq.Accept
		}},
		{name: "in place", handler: func(p *ipq.Packet) ipq.Verdict {
			p.Payload[50]++
			if p.SetPayload(p.Payload) != nil {
				return ipq.Drop
			}
			return ipq.Accept
		}},
		{name: "scratch", handler: func(p *ipq.Packet) ipq.Verdict {
			copy(scratch, p.Payload)
			if p.SetPayload(scratch) != nil {
				return ipq.Drop
			}
			return ipq.Accept
		}},
		{name: "unknown tunnel", pending: ipip(115, pendingDatagram()), handler: func(*ipq.Packet) ipq.Verdict { return ipq.Accept }},
		{name: "in a tunnel", pending: ipip(4, pendingDatagram()), handler: func(p *ipq.Packet) ipq.Verdict {
			if p.SetPayload(p.Payload) != nil {
				return ipq.Drop
			}
			return ipq.Accept
		}},
		{name: "one held for ever", handler: func(p *ipq.Packet) ipq.Verdict {
			if p.ID.Uint32() != 1 {
				held <- p.ID
			}
			return ipq.Hold
		}},
		{name: "held", handler: func(p *ipq.Packet) ipq.Verdict { held <- p.ID; return ipq.Hold }},
		{name: "early", handler: func(p *ipq.Packet) ipq.Verdict { p.SetVerdict(ipq.Accept); return ipq.Hold }},
		{name: "bounded", config: ipq.Config{HandlerTimeout: time.Minute}, handler: func(*ipq.Packet) ipq.Verdict { return ipq.Accept }},
		{name: "recv", read: func(q *ipq.Queue) {
			var b ipq.Batch
			for q.Recv(&b) == nil {
				for i := range b.Len() {
					b.Packet(i).SetVerdict(ipq.Accept)
				}
			}
		}},
		{name: "recv and hold", read: func(q *ipq.Queue) {
			var b ipq.Batch
			for q.Recv(&b) == nil {
				for p := range b.All() {
					held <- p.ID
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.config.Range = 1000 // small buffers, so that batches are large
			f, q := newFeeder(t, test.config)
			if test.pending != nil {
				f.packet = wire.AppendPacket(nil, &wire.Packet{Family: 2, Hook: 3, HWProto: 0x0800, Fields: wire.HasPayload | wire.HasSKBInfo,
					SKBInfo: wire.SKBChecksumNotReady, Payload: test.pending})
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if test.read != nil {
					test.read(q)
				} else if err := q.Serve(t.Context(), test.handler); !errors.Is(err, os.ErrClosed) {
					t.Errorf("Serve: %v", err)
				}
			}()
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for {
					select {
					case id := <-held:
						if err := q.SetVerdict(id, ipq.Accept); err != nil {
							t.Error(err)
						}
					case <-stop:
						return
					}
				}
			}()
			f.file.SetDeadline(time.Now().Add(6 * patience))
			const rounds, each = 200, 50
			if test.name == "one held for ever" {
				binary.BigEndian.PutUint32(f.packet[idOffset:], 1)
				f.send(f.packet)
				f.last = 1
			}
			count := func() (allocations, size uint64) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range rounds {
					if !f.feed(each) {
						t.Fatal("the queue did not answer as expected")
					}
				}
				runtime.ReadMemStats(&after)
				return after.Mallocs - before.Mallocs, after.TotalAlloc - before.TotalAlloc
			}
			count() // buffers grow to their size
			// The runtime allocates a little by itself, at times. A packet that does shows as thousands.
			n, size := count()
			t.Logf("%d packets made %d allocations of %d bytes", rounds*each, n, size)
			if n > rounds*each/100 || size > rounds*each {
				t.Error("want none")
			}
			q.Close()
			<-done
			close(stop)
			<-stopped
		})
	}
}
