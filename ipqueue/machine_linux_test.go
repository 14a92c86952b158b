package ipqueue_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"ipq/internal/wire"
	"ipq/ipqueue"
)

// both drives the machine and its twin, which must agree on everything.
type both struct {
	t      testing.TB
	layout wire.IPQLayout
	m      *ipqueue.Machine
	w      *twin
	packet int
	ids    []uint32 // that were given out, newest last
}

func newBoth(t testing.TB, family uint8, layout wire.IPQLayout, maxLen uint32) *both {
	return &both{t: t, layout: layout, m: ipqueue.NewMachine(family, maxLen), w: &twin{family: family, maxLen: maxLen}}
}

func (b *both) agree(what string) {
	b.t.Helper()
	if got, want := b.m.State(), b.w.state(); got != want {
		b.t.Fatalf("%s: state %v, want %v", what, got, want)
	}
}

func (b *both) request(datagram []byte, privileged bool) ipqueue.Reaction {
	b.t.Helper()
	before := bytes.Clone(datagram)
	got := b.m.Request(b.layout, datagram, privileged)
	want := b.w.request(b.layout, datagram, privileged)
	if got.Ack != want.Ack || got.Nack != want.Nack || got.Errno != want.Errno || got.Answered != want.Answered ||
		got.Packet != want.Packet || got.Verdict != want.Verdict || (got.Payload == nil) != (want.Payload == nil) ||
		!bytes.Equal(got.Payload, want.Payload) || !bytes.Equal(got.Echo, want.Echo) {
		b.t.Fatalf("%x, privileged %v:\n got %+v\nwant %+v", datagram[:min(len(datagram), 64)], privileged, got, want)
	}
	if !bytes.Equal(before, datagram) {
		b.t.Fatal("the datagram was changed")
	}
	b.agree("after a message")
	return got
}

func (b *both) offer(length int, devs [4]uint32) (uint32, bool) {
	b.t.Helper()
	b.packet++
	id, copied, ok := b.m.Offer(b.packet, length, devs)
	wantID, wantCopied, wantOK := b.w.offer(b.packet, length, devs)
	if id != wantID || copied != wantCopied || ok != wantOK {
		b.t.Fatalf("packet of %d bytes: id %d, %d copied, %v; want %d, %d, %v", length, id, copied, ok, wantID, wantCopied, wantOK)
	}
	b.agree("after a packet")
	if ok {
		b.ids = append(b.ids, id)
	}
	return id, ok
}

func (b *both) dropped(what string, got, want []int) {
	b.t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		b.t.Fatalf("%s drops %v, want %v", what, got, want)
	}
	b.agree(what)
}

func (b *both) release() {
	b.t.Helper()
	b.w.peer, b.w.mode, b.w.rng = 0, 0, 0
	b.dropped("release", b.m.Release(), b.w.drop(func(held) bool { return true }))
}

func (b *both) linkDown(index uint32) {
	b.t.Helper()
	b.dropped("link down", b.m.LinkDown(index), b.w.drop(func(h held) bool { return index != 0 && slices.Contains(h.devs[:], index) }))
}

func (b *both) refuse(id uint32) {
	b.t.Helper()
	packet, ok := b.m.Refuse(id)
	wantPacket, wantOK := b.w.refuse(id)
	if packet != wantPacket || ok != wantOK {
		b.t.Fatalf("refusing %d: packet %d, %v; want %d, %v", id, packet, ok, wantPacket, wantOK)
	}
	b.agree("after a refusal")
}

func (b *both) mode(pid uint32, mode uint8, rng uint64) ipqueue.Reaction {
	b.t.Helper()
	h := wire.IPQHeader{Type: wire.IPQTypeMode, Flags: wire.IPQFlagRequest, PID: pid}
	return b.request(b.layout.AppendMode(wire.AppendIPQMessage(nil, h, b.layout.VerdictSize()), wire.IPQMode{Value: mode, Range: rng}), true)
}

func (b *both) verdict(pid uint32, v wire.IPQVerdict) ipqueue.Reaction {
	b.t.Helper()
	h := wire.IPQHeader{Type: wire.IPQTypeVerdict, Flags: wire.IPQFlagRequest | wire.IPQFlagAck, PID: pid}
	return b.request(b.layout.AppendVerdict(wire.AppendIPQMessage(nil, h, b.layout.VerdictSize()+len(v.Payload)), v), true)
}

var layouts = []wire.IPQLayout{wire.IPQ32, wire.IPQ64}

// Every row of the admission table is reached, alone and with every other
// condition that comes later true as well, with a peer and without.
func TestAdmissionTable(t *testing.T) {
	for _, layout := range layouts {
		reached := map[string]bool{}
		size := layout.VerdictSize()
		for _, peer := range []uint32{0, 700, 701} {
			for _, datagramLen := range []int{0, 15, 16, 16 + size} {
				for _, length := range []uint32{15, 16, uint32(16 + size - 1), uint32(16 + size), 1000} {
					for _, kind := range []uint16{0, 1, 0x10, 0x11, 0x12, 0x13, 0x14} {
						for _, flags := range []uint16{0, 1, 3, 5, 0x20, 0x21} {
							for _, pid := range []uint32{0, 700, 0x80000000} {
								for _, value := range []uint32{1, 2, 6} {
									b := newBoth(t, ipqueue.IPv4, layout, 10)
									var id uint32
									if peer != 0 {
										b.mode(peer, 2, 0)
										id, _ = b.offer(100, [4]uint32{})
									}
									d := make([]byte, max(datagramLen, 16))
									wire.IPQHeader{Len: length, Type: kind, Flags: flags, Seq: 9, PID: pid}.Put(d)
									if len(d) >= 16+size {
										copy(d[16:], layout.AppendVerdict(nil, wire.IPQVerdict{Value: value, ID: uint64(id)}))
									}
									d = d[:datagramLen]
									for _, privileged := range []bool{false, true} {
										m := message{&twin{family: 2, peer: b.w.peer, held: b.w.held}, layout, d, privileged}
										for _, row := range admission {
											if row.when(m) {
												reached[row.name] = true
												break
											}
										}
										b.request(d, privileged)
									}
								}
							}
						}
					}
				}
			}
		}
		for _, row := range admission {
			if !reached[row.name] && row.name != "claims the slot" {
				t.Errorf("%d bits: no message reached the row %q", 8*layout, row.name)
			}
		}
	}
}

// Table 2.8: what becomes of a replacement payload.
func TestReplacementTable(t *testing.T) {
	for _, layout := range layouts {
		for _, family := range []uint8{ipqueue.IPv4, ipqueue.IPv6} {
			least := map[uint8]int{ipqueue.IPv4: 20, ipqueue.IPv6: 40}[family]
			for _, test := range []struct {
				said    uint64
				present int
				applied bool
				dropped bool
			}{
				{0, 0, false, false},
				{0, 60, false, false},
				{60, 59, false, false},
				{60, 61, false, false},
				{60, 0, false, false},
				{^uint64(0), 60, false, false},
				{1, 1, false, false},
				{uint64(least - 1), least - 1, false, false},
				{uint64(least), least, true, false},
				{uint64(least + 1), least + 1, true, false},
				{1500, 1500, true, false},
				{65531, 65531, true, false},
				{65532, 65532, false, true},
				{65535, 65535, false, true}, // ip_queue took it: a listed difference
				{65536, 65536, false, true},
				{131000, 131000, false, true},
			} {
				b := newBoth(t, family, layout, 10)
				b.mode(700, 2, 0)
				id, _ := b.offer(100, [4]uint32{})
				r := b.verdict(700, wire.IPQVerdict{Value: wire.IPQVerdictAccept, ID: uint64(id), DataLen: test.said, Payload: make([]byte, test.present)})
				want := uint32(wire.IPQVerdictAccept)
				if test.dropped {
					want = wire.IPQVerdictDrop
				}
				if !r.Ack || !r.Answered || r.Verdict != want || (r.Payload != nil) != test.applied || test.applied && len(r.Payload) != test.present {
					t.Errorf("%d bits, family %d, data_len %d with %d bytes: %+v", 8*layout, family, test.said, test.present, r)
				}
			}
		}
	}
}

// Table 2.10: which verdict values there are.
func TestVerdictTable(t *testing.T) {
	for _, layout := range layouts {
		for _, test := range []struct {
			value uint32
			ok    bool
		}{
			{0, true}, {1, true}, {2, false}, {3, true}, {4, true}, {5, true}, {6, false}, {7, false}, {0xff, false},
			{0x10000, false}, {0x10001, false}, {0x10003, false}, {0x70003, false}, {0x8003, false},
			{0x80000001, false}, {0x80000003, false}, {0xffffffff, false},
		} {
			b := newBoth(t, ipqueue.IPv4, layout, 10)
			b.mode(700, 1, 0)
			id, _ := b.offer(100, [4]uint32{})
			v := wire.IPQVerdict{Value: test.value, ID: uint64(id)}
			if r := b.verdict(700, v); r.Answered != test.ok || r.Nack == test.ok {
				t.Errorf("%d bits, verdict %#x: %+v", 8*layout, test.value, r)
			}
			if r := b.verdict(700, wire.IPQVerdict{Value: 1, ID: uint64(id)}); r.Answered == test.ok {
				t.Errorf("%d bits, after verdict %#x: %+v", 8*layout, test.value, r)
			}
		}
	}
}

// Ids are never 0, never those of packets that wait, and the upper half of a
// 64-bit id counts.
func TestIDsWrap(t *testing.T) {
	b := newBoth(t, ipqueue.IPv4, wire.IPQ64, 10)
	b.mode(700, 1, 0)
	b.m.StartIDs(0xfffffffd)
	b.w.last = 0xfffffffd
	var ids []uint32
	for range 4 {
		id, _ := b.offer(100, [4]uint32{})
		ids = append(ids, id)
	}
	if want := []uint32{0xfffffffe, 0xffffffff, 1, 2}; !slices.Equal(ids, want) {
		t.Errorf("ids %v, want %v", ids, want)
	}
	b.m.StartIDs(0)
	b.w.last = 0
	if id, _ := b.offer(100, [4]uint32{}); id != 3 {
		t.Errorf("id %d while 1 and 2 wait, want 3", id)
	}
	if r := b.verdict(700, wire.IPQVerdict{Value: 1, ID: 1<<32 | 3}); r.Errno != 2 {
		t.Errorf("an id whose low half is a packet's: %+v, want ENOENT", r)
	}
}

// The machine and its twin agree on any dialogue.
func FuzzMachine(f *testing.F) {
	f.Add(uint64(1), []byte("seed"))
	f.Fuzz(func(t *testing.T, seed uint64, raw []byte) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := newBoth(t, []uint8{ipqueue.IPv4, ipqueue.IPv6}[r.IntN(2)], layouts[r.IntN(2)], uint32(r.IntN(70)))
		// Bytes of the fuzzer's making, as they are and as the rest of a message
		// that is in order.
		b.request(raw, true)
		for range 200 {
			switch r.IntN(12) {
			case 0, 1, 2, 3, 4:
				b.offer(r.IntN(2000), [4]uint32{uint32(r.IntN(3)), uint32(r.IntN(3)), 0, uint32(r.IntN(2)) * 7})
			case 5:
				b.linkDown(uint32(r.IntN(8)))
			case 6:
				if r.IntN(8) == 0 {
					b.release()
				}
			case 7:
				if len(b.ids) > 0 {
					b.refuse(b.ids[r.IntN(len(b.ids))])
				}
			default:
				b.request(randomMessage(r, b, raw), r.IntN(10) != 0)
			}
		}
	})
}

// randomMessage makes a message that is mostly in order, with some of raw in it.
func randomMessage(r *rand.Rand, b *both, raw []byte) []byte {
	pick := func(common uint64, rare ...uint64) uint64 {
		if r.IntN(8) != 0 {
			return common
		}
		return rare[r.IntN(len(rare))]
	}
	h := wire.IPQHeader{
		Type:  uint16(pick(uint64(0x11+r.IntN(2)), 0, 1, 0x10, 0x13, 0x14)),
		Flags: uint16(pick(1, 0, 3, 5, 0x21, 0x7005)),
		PID:   uint32(pick(700, 0, 701, 1<<31)),
	}
	var id uint64
	if len(b.ids) > 0 {
		id = uint64(b.ids[len(b.ids)-1-r.IntN(min(len(b.ids), 20))])
	}
	payload := raw
	if r.IntN(2) == 0 {
		payload = nil
	}
	var body []byte
	if h.Type == wire.IPQTypeMode {
		body = b.layout.AppendMode(nil, wire.IPQMode{Value: uint8(pick(uint64(1+r.IntN(2)), 0, 3, 255)), Range: pick(uint64(r.IntN(2000)), 1<<16, 1<<32, ^uint64(0))})
	} else {
		body = b.layout.AppendVerdict(nil, wire.IPQVerdict{
			Value: uint32(pick(uint64(r.IntN(6)), 6, 0x10001)), ID: pick(id, 0, id+1, id|1<<32),
			DataLen: pick(uint64(len(payload)), 0, 1, ^uint64(0)), Payload: payload,
		})
	}
	d := append(wire.AppendIPQMessage(nil, h, len(body)), body...)
	switch r.IntN(10) {
	case 0:
		d = d[:r.IntN(len(d)+1)]
	case 1:
		binary.NativeEndian.PutUint32(d, uint32(r.IntN(len(d)+20)))
	}
	return d
}
