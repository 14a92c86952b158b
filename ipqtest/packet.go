package ipqtest

import (
	"time"

	"ipq"
	"ipq/internal/wire"
)

// Packet is a packet that a rule sends to a queue, and what the kernel knows of it. The zero value of a field is what a
// plain packet has.
type Packet struct {
	Queue   uint16
	Payload []byte // the whole packet, from its network header on; copied by Inject

	Family   ipq.Family // 0: what the first byte of Payload says, else IPv4
	Hook     ipq.Hook
	Protocol uint16 // EtherType; 0: that of Family

	Mark, Priority  uint32
	In, Out         uint32 // interface indexes
	PhysIn, PhysOut uint32

	HWAddr   []byte    // at most 8 bytes
	L2Header []byte    // bridge family only
	VLAN     ipq.VLAN  // bridge family only; none if its protocol is 0
	Time     time.Time // sent at Prerouting, Input and Forward; not sent if zero

	// Local says that a socket of this host made the packet: its UID and GID are sent (with FlagUIDGID), its
	// CgroupClass, and its SecurityContext (with FlagSecurityContext).
	Local           bool
	UID, GID        uint32
	CgroupClass     uint32
	SecurityContext []byte

	// Conntrack is the packet's connection, nil for none. It is sent with FlagConntrack.
	Conntrack *ipq.Conntrack

	// GSO says that the packet is a train of segments. It needs FlagGSO: a kernel without it would have cut the packet,
	// which Inject does not do for the test.
	GSO bool

	// ChecksumPending says that a checksum in Payload is not filled in: the transport's, which then is the sum of the
	// pseudo-header, as a kernel leaves it, or that of a packet that Payload carries in a tunnel. Without FlagGSO a kernel
	// fills it in first; here the payload stays as it is and only the note is left out.
	ChecksumPending bool

	// Overrun says that the packet finds the buffer of the program's socket full: it takes an id, is dropped (or passed:
	// FlagFailOpen) and counted, and the program is told as ENOBUFS would tell it.
	Overrun bool
}

// Fate is what decided about a packet.
type Fate uint8

// The fates of a packet.
const (
	_          Fate = iota
	Answered        // the program's verdict
	NoListener      // nobody had bound the queue
	CopyNone        // the queue was bound in mode NONE, in which everything drops
	QueueFull       // Config.MaxLen packets were waiting
	BufferFull      // Packet.Overrun
	Flushed         // it was waiting when the queue was flushed, unbound or closed
)

// String names the fate.
func (f Fate) String() string {
	names := [...]string{"invalid", "answered", "no listener", "mode none", "queue full", "buffer full", "flushed"}
	if int(f) >= len(names) {
		return names[0]
	}
	return names[f]
}

// Result is what became of a packet.
type Result struct {
	Fate Fate

	// Verdict is the program's. Where another fate decided, it is Drop, or Accept with FlagFailOpen.
	Verdict ipq.Verdict

	Mark     uint32 // as the next rule sees it
	ConnMark uint32 // of its connection

	ConnLabels ipq.ConnLabels // of its connection
	Payload    []byte         // as it goes on; the injected bytes if no verdict replaced them
}

// message is the packet as the kernel describes it to the queue's owner.
func (p *Packet) message(number uint16, id uint32, q *queue) []byte {
	w := wire.Packet{
		Family: uint8(p.Family), Hook: uint8(p.Hook), HWProto: p.Protocol, Queue: number, ID: id,
		In: p.In, Out: p.Out, PhysIn: p.PhysIn, PhysOut: p.PhysOut,
		Mark: p.Mark, Priority: p.Priority, UID: p.UID, GID: p.GID, CgroupClass: p.CgroupClass,
		HWAddr: p.HWAddr, L2Header: p.L2Header, VLANProto: p.VLAN.Protocol, VLANTCI: p.VLAN.TCI,
		SecCtx: p.SecurityContext,
	}
	has := func(f wire.Fields, there bool) {
		if there {
			w.Fields |= f
		}
	}
	has(wire.HasMark, p.Mark != 0)
	has(wire.HasPriority, p.Priority != 0)
	has(wire.HasHWAddr, len(p.HWAddr) > 0)
	has(wire.HasVLAN, p.Family == ipq.Bridge && p.VLAN.Protocol != 0)
	has(wire.HasL2Header, p.Family == ipq.Bridge && len(p.L2Header) > 0)
	has(wire.HasUID|wire.HasGID, p.Local && q.flags&ipq.FlagUIDGID != 0)
	has(wire.HasCgroup, p.Local && p.CgroupClass != 0)
	has(wire.HasSecCtx, p.Local && len(p.SecurityContext) > 0 && q.flags&ipq.FlagSecurityContext != 0)
	if !p.Time.IsZero() && p.Hook <= ipq.Forward {
		w.Fields |= wire.HasTimestamp
		w.Sec, w.Usec = uint64(p.Time.Unix()), uint64(p.Time.Nanosecond()/1000)
	}
	if p.Conntrack != nil && q.flags&ipq.FlagConntrack != 0 {
		w.Fields |= wire.HasCT | wire.HasCTInfo
		w.CT, w.CTInfo = wire.AppendConntrack(nil, connection(p.Conntrack)), uint32(p.Conntrack.State)
	}
	if q.copyMode == wire.CopyPacket {
		w.Payload = p.Payload[:min(len(p.Payload), q.copyRange)]
		w.CapLen = uint32(len(p.Payload))
		has(wire.HasPayload, len(w.Payload) > 0)
		has(wire.HasCapLen, len(w.Payload) < len(p.Payload))
	}
	if p.ChecksumPending && (q.flags&ipq.FlagGSO != 0 || q.copyMode != wire.CopyPacket) {
		w.SKBInfo |= wire.SKBChecksumNotReady
	}
	if p.GSO {
		w.SKBInfo |= wire.SKBGSO
	}
	has(wire.HasSKBInfo, w.SKBInfo != 0)
	return wire.AppendPacket(nil, &w)
}

func connection(c *ipq.Conntrack) *wire.Conntrack {
	tuple := func(t *ipq.Tuple) wire.Tuple {
		return wire.Tuple{
			Src: t.Src, Dst: t.Dst, Proto: t.Protocol, SrcPort: t.SrcPort, DstPort: t.DstPort,
			ICMPType: t.ICMPType, ICMPCode: t.ICMPCode, ICMPID: t.ICMPID,
		}
	}
	return &wire.Conntrack{
		Orig: tuple(&c.Original), Reply: tuple(&c.Reply),
		Status: uint32(c.Status), Mark: c.Mark, Zone: c.Zone, ID: c.ID,
		HasLabels: c.HasLabels, Labels: wire.Labels(c.Labels),
	}
}
