package ipqtest_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ipq"
	"ipq/ipqtest"
)

const everyFlag = ipq.FlagFailOpen | ipq.FlagConntrack | ipq.FlagGSO | ipq.FlagUIDGID | ipq.FlagSecurityContext

// fake opens queue 0 of a fake kernel.
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

// next receives one packet.
func next(t *testing.T, q *ipq.Queue) *ipq.Packet {
	t.Helper()
	q.SetReadDeadline(time.Now().Add(patience))
	var b ipq.Batch
	if err := q.Recv(&b); err != nil {
		t.Fatal(err)
	}
	return b.Packet(0)
}

var connection = ipq.Conntrack{
	Original: ipq.Tuple{Src: netip.MustParseAddr("fd07::2"), Dst: netip.MustParseAddr("2001:db8::7"), Protocol: 6, SrcPort: 40000, DstPort: 443},
	Reply:    ipq.Tuple{Src: netip.MustParseAddr("2001:db8::7"), Dst: netip.MustParseAddr("fd07::2"), Protocol: 6, SrcPort: 443, DstPort: 40000},
	State:    ipq.ConntrackEstablishedReply, Status: ipq.StatusConfirmed | ipq.StatusSeenReply, Mark: 0xf0f0, Zone: 3, ID: 77,
}

// Everything that a Packet has, the program can read: where the kernel would say it, and only there.
func TestFields(t *testing.T) {
	stamp := time.Unix(1700000000, 123456000)
	frame := []byte{2, 0, 7, 0, 0, 2, 2, 0, 7, 0, 0, 1, 8, 0}
	local := ipqtest.Packet{Local: true, UID: 1000, GID: 100, CgroupClass: 0x100001, SecurityContext: []byte("system_u:object_r:x"), Hook: ipq.Output,
		Priority: 6, Conntrack: &connection, ChecksumPending: true, GSO: true, Payload: []byte{0x60, 1, 2, 3}, Time: stamp}
	bridged := ipqtest.Packet{Family: ipq.Bridge, Protocol: 0x0806, Hook: ipq.Forward, In: 10, PhysIn: 11, Out: 10, PhysOut: 12, HWAddr: frame[6:12],
		L2Header: frame, VLAN: ipq.VLAN{Protocol: 0x88a8, TCI: 0x200a}, Time: stamp, Payload: []byte("arp")}
	for _, test := range []struct {
		name   string
		config ipq.Config
		packet ipqtest.Packet
		want   string
	}{
		{"plain", ipq.Config{}, ipqtest.Packet{}, "ip prerouting 0x800 | 0 of 0"},
		{"local, every flag", ipq.Config{Flags: everyFlag}, local,
			"ip6 output 0x86dd uid 1000 gid 100 class 0x100001 priority 6 context system_u:object_r:x ct true gso pending | 4 of 4"},
		{"local, no flag", ipq.Config{}, func() ipqtest.Packet { p := local; p.GSO = false; return p }(),
			"ip6 output 0x86dd class 0x100001 priority 6 | 4 of 4"},
		{"local, headers", ipq.Config{Range: 2, Flags: ipq.FlagGSO}, local, "ip6 output 0x86dd class 0x100001 priority 6 gso pending | 2 of 4"},
		{"local, meta", ipq.Config{Mode: ipq.ModeMeta, Flags: ipq.FlagGSO}, local, "ip6 output 0x86dd class 0x100001 priority 6 gso pending | 0 of 0"},
		{"bridged", ipq.Config{}, bridged, "bridge forward 0x806 in 10 out 10 phys 11 12 hw 020007000001 l2 02000700000202000700000108" +
			"00 vlan 0x88a8 0x200a time 1700000000.123456000 | 3 of 3"},
		{"bridged, other family", ipq.Config{}, func() ipqtest.Packet { p := bridged; p.Family = ipq.IPv4; return p }(),
			"ip forward 0x806 in 10 out 10 phys 11 12 hw 020007000001 time 1700000000.123456000 | 3 of 3"},
		{"big", ipq.Config{}, ipqtest.Packet{Payload: make([]byte, 65535)}, "ip prerouting 0x800 | 65531 of 65535"},
	} {
		t.Run(test.name, func(t *testing.T) {
			k, q := fake(t, test.config)
			k.Inject(test.packet)
			p := next(t, q)
			if got := describe(p); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if ct, ok := p.Conntrack(); ok && ct != connection {
				t.Errorf("connection %+v", ct)
			}
			if !bytes.HasPrefix(test.packet.Payload, p.Payload) {
				t.Errorf("payload %x", p.Payload)
			}
			if got := describe(p.Clone()); got != test.want {
				t.Errorf("cloned %s", got)
			}
		})
	}
}

// describe says what a packet has that is not zero.
func describe(p *ipq.Packet) string {
	s := []string{p.Family.String(), p.Hook.String(), fmt.Sprintf("%#x", p.Protocol)}
	add := func(there bool, format string, args ...any) {
		if there {
			s = append(s, fmt.Sprintf(format, args...))
		}
	}
	add(p.Mark != 0, "mark %#x", p.Mark)
	add(p.In != 0, "in %d", p.In)
	add(p.Out != 0, "out %d", p.Out)
	add(p.PhysIn|p.PhysOut != 0, "phys %d %d", p.PhysIn, p.PhysOut)
	add(p.HWAddr != nil, "hw %x", p.HWAddr)
	add(p.L2Header != nil, "l2 %x", p.L2Header)
	add(p.Has(ipq.HasVLAN), "vlan %#x %#x", p.VLAN.Protocol, p.VLAN.TCI)
	add(p.Has(ipq.HasUID), "uid %d", p.UID)
	add(p.Has(ipq.HasGID), "gid %d", p.GID)
	add(p.Has(ipq.HasCgroupClass), "class %#x", p.CgroupClass)
	add(p.Has(ipq.HasPriority), "priority %d", p.Priority)
	add(p.SecurityContext != nil, "context %s", p.SecurityContext)
	_, ok := p.Conntrack()
	add(ok, "ct %v", ok)
	add(p.GSO(), "gso")
	add(p.ChecksumPending(), "pending")
	at, ok := p.Time()
	add(ok, "time %d.%09d", at.Unix(), at.Nanosecond())
	s = append(s, fmt.Sprintf("| %d of %d", len(p.Payload), p.Length))
	return strings.Join(s, " ")
}

// A verdict changes the connection mark under its mask, where there is a connection and the kernel can. Otherwise it is refused:
// the kernel would ignore it.
func TestConnMark(t *testing.T) {
	for _, test := range []struct {
		lacks     ipq.Flags
		conntrack *ipq.Conntrack
		want      uint32
		err       error
	}{{0, &connection, 0xf05a, nil}, {0, nil, 0, ipq.ErrNoConntrack}, {ipq.FlagConntrack, &connection, 0xf0f0, ipq.ErrNoConntrack}} {
		k, q := fake(t, ipq.Config{Flags: ipq.FlagConntrack}, ipqtest.Config{Lacks: test.lacks})
		for _, late := range []bool{false, true} {
			e := k.Inject(ipqtest.Packet{Conntrack: test.conntrack, Mark: 5})
			p := next(t, q)
			var err error
			if late {
				err = q.SetVerdict(p.ID, ipq.Accept, ipq.Changes{ConnMark: 0x5a, ConnMarkMask: 0xff})
			} else if err = p.SetConnMark(0xffffff5a, 0xff); err == nil {
				err = p.SetVerdict(ipq.Accept)
			}
			if !errors.Is(err, test.err) {
				t.Fatalf("lacking %q, connection %v, late %v: %v, want %v", test.lacks, test.conntrack != nil, late, err, test.err)
			}
			if err != nil {
				if err := p.SetVerdict(ipq.Accept); err != nil {
					t.Fatal(err)
				}
			}
			if r := e.Result(); r.ConnMark != test.want || r.Mark != 5 {
				t.Errorf("lacking %q, connection %v: connection mark %#x, mark %d, want %#x and 5", test.lacks, test.conntrack != nil, r.ConnMark, r.Mark, test.want)
			}
		}
		if connection.Mark != 0xf0f0 {
			t.Error("the test's own connection was changed")
		}
	}
}

// A verdict changes the labels under its mask of a connection that has room for labels; of any other it is refused.
func TestConnLabels(t *testing.T) {
	k, q := fake(t, ipq.Config{Flags: ipq.FlagConntrack})
	var before, labels, mask, want ipq.ConnLabels
	for _, n := range []int{0, 9, 127} {
		before.Set(n)
	}
	for _, n := range []int{1, 64} {
		labels.Set(n)
	}
	for _, n := range []int{0, 1, 64} {
		mask.Set(n)
	}
	for _, n := range []int{1, 9, 64, 127} {
		want.Set(n)
	}
	for _, late := range []bool{false, true} {
		labelled := connection
		labelled.HasLabels, labelled.Labels = true, before
		e := k.Inject(ipqtest.Packet{Conntrack: &labelled})
		p := next(t, q)
		if c, ok := p.Conntrack(); !ok || !c.HasLabels || c.Labels != before || !c.Labels.Has(127) || c.Labels.Has(126) {
			t.Errorf("%+v, %v", c, ok)
		}
		var err error
		if late {
			if err := q.SetVerdict(p.ID, ipq.Accept, ipq.Changes{ConnLabels: labels}); err == nil {
				t.Error("labels outside of their mask were taken")
			}
			err = q.SetVerdict(p.ID, ipq.Accept, ipq.Changes{ConnLabels: labels, ConnLabelsMask: mask})
		} else if err = p.SetConnLabels(labels, mask); err == nil {
			err = p.SetVerdict(ipq.Accept)
		}
		if err != nil {
			t.Fatal(err)
		}
		if r := e.Result(); r.ConnLabels != want {
			t.Errorf("labels %x, want %x", r.ConnLabels, want)
		}
	}
	for _, c := range []*ipq.Conntrack{nil, &connection} {
		e := k.Inject(ipqtest.Packet{Conntrack: c})
		p := next(t, q)
		if err := p.SetConnLabels(labels, mask); !errors.Is(err, ipq.ErrNoConnLabels) {
			t.Errorf("SetConnLabels: %v", err)
		}
		if err := q.SetVerdict(p.ID, ipq.Accept, ipq.Changes{ConnLabelsMask: mask}); !errors.Is(err, ipq.ErrNoConnLabels) {
			t.Errorf("SetVerdict: %v", err)
		}
		if err := p.SetVerdict(ipq.Accept); err != nil {
			t.Error(err)
		}
		if r := e.Result(); r.Verdict != ipq.Accept {
			t.Errorf("%+v", r)
		}
	}
}

// A packet that has not been cut into segments yet cannot be replaced.
func TestGSOPayload(t *testing.T) {
	k, q := fake(t, ipq.Config{Require: ipq.FlagGSO})
	e := k.Inject(ipqtest.Packet{GSO: true, Payload: datagram(nil, "train")})
	p := next(t, q)
	if err := p.SetPayload(datagram(nil, "other")); err == nil {
		t.Error("SetPayload was taken")
	}
	if err := p.SetRawPayload(datagram(nil, "other")); err == nil {
		t.Error("SetRawPayload was taken")
	}
	if err := q.SetVerdict(p.ID, ipq.Accept, ipq.Changes{Payload: datagram(nil, "other"), Raw: true}); err == nil {
		t.Error("SetVerdict was taken")
	}
	if err := p.SetVerdict(ipq.Accept); err != nil {
		t.Error(err)
	}
	if got := dataOf(e.Result().Payload); got != "train" {
		t.Errorf("it goes on as %q", got)
	}
}

// Ids wrap, and nothing else changes: turns, ranges and held packets go on across it.
func TestIDsWrap(t *testing.T) {
	k, q := fake(t, ipq.Config{Range: 1000, OnOverrun: func(n uint64) { t.Errorf("OnOverrun(%d)", n) }}, ipqtest.Config{LastID: 1<<32 - 51})
	var entries []*ipqtest.Entry
	for range 100 {
		entries = append(entries, k.Inject(ipqtest.Packet{Payload: []byte{0x45}}))
	}
	if first, wrapped := entries[0].ID, entries[50].ID; first != 1<<32-50 || wrapped != 0 {
		t.Fatalf("ids begin at %d, and wrap to %d", first, wrapped)
	}
	ids := make(chan ipq.ID, 100)
	serve(t, q, func(p *ipq.Packet) ipq.Verdict {
		if id := p.ID.Uint32(); id == 1<<32-1 || id == 0 || id == 30 {
			ids <- p.ID
			return ipq.Hold
		}
		return ipq.Accept
	})
	var held []ipq.ID
	for range 3 {
		held = append(held, soon(t, ids, "the handler"))
	}
	for i, e := range entries {
		if i != 49 && i != 50 && i != 80 {
			if r := e.Result(); r.Verdict != ipq.Accept {
				t.Errorf("packet %d: %v, %v", e.ID, r.Fate, r.Verdict)
			}
		}
	}
	if s := k.Stats(0); s.Waiting != 3 {
		t.Errorf("%d packets wait, want the 3 that are held", s.Waiting)
	}
	for _, id := range held {
		if err := q.SetVerdict(id, ipq.Drop); err != nil {
			t.Error(err)
		}
	}
	for _, i := range []int{49, 50, 80} {
		if r := entries[i].Result(); r.Fate != ipqtest.Answered || r.Verdict != ipq.Drop {
			t.Errorf("packet %d: %v, %v", entries[i].ID, r.Fate, r.Verdict)
		}
	}
	if s := q.Stats(); s.Gone != 0 || s.Open != 0 {
		t.Errorf("stats %+v", s)
	}
}
