package ipq

import (
	"bytes"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"ipq/internal/wire"
	"ipq/packet"
)

// Fields says which optional parts of a Packet the kernel sent.
type Fields uint32

const (
	// HasUID needs FlagUIDGID, and a packet that has a local socket. At Output and Postrouting that is the sender's: a SYN-ACK,
	// a reset and what leaves after the socket was closed have none. At Input it is the receiver's, where the kernel looked
	// it up early: a connected socket, or the only one that listens to a UDP multicast; never on lo, and not for a SYN.
	HasUID         Fields = Fields(wire.HasUID)
	HasGID         Fields = Fields(wire.HasGID)       // as HasUID
	HasPriority    Fields = Fields(wire.HasPriority)  // absent when 0, and before Linux 5.18
	HasCgroupClass Fields = Fields(wire.HasCgroup)    // a packet of a local socket; absent before Linux 6.3
	HasVLAN        Fields = Fields(wire.HasVLAN)      // bridge family; absent before Linux 4.7
	HasTime        Fields = Fields(wire.HasTimestamp) // a stamp of the kernel: see Packet.Time
	HasPayload     Fields = Fields(wire.HasPayload)   // absent in ModeMeta
)

// VLAN is the tag of a packet of the bridge family that came in one, host byte order.
type VLAN struct {
	Protocol uint16 // EtherType of the tag: 0x8100 or 0x88a8
	TCI      uint16 // priority, drop eligible bit and VLAN id
}

// A Packet is one queued packet. It is a leased view: it and every slice in it are valid until the handler returns, or
// until its Batch is received into again. Clone makes one that stays. One goroutine may use a packet at a time.
//
// Source of the fields: include/uapi/linux/netfilter/nfnetlink_queue.h.
type Packet struct {
	ID       ID     // for Queue.SetVerdict
	Family   Family // of the hook
	Hook     Hook   // where it was queued
	Protocol uint16 // EtherType, host byte order

	Mark        uint32 // packet mark, as rules see it
	Priority    uint32 // of the packet, as tc sees it
	UID, GID    uint32 // of the local socket, as the initial user namespace numbers them; see HasUID
	CgroupClass uint32 // net_cls class of the local socket

	In, Out         uint32 // interface indexes; 0 for none. Of a bridge, not of its port
	PhysIn, PhysOut uint32 // the bridge's ports

	Length          int    // of the whole packet, bytes; more than len(Payload) if Truncated; 0 in ModeMeta
	Payload         []byte // from the network header on; may be edited in place, and sent by SetPayload
	HWAddr          []byte // link-layer source address, nil if unknown
	L2Header        []byte // link-layer header, bridge family only
	VLAN            VLAN   // Has(HasVLAN)
	SecurityContext []byte // of the local socket; needs FlagSecurityContext

	queue   *Queue
	slot    []byte // the buffer that everything above points into
	fields  Fields
	facts   facts
	skbInfo uint32
	ctInfo  uint32
	ct      []byte // the connection, as it came
	stamp   stamp
	changes Changes
}

// stamp is the kernel's, as it came.
type stamp struct{ sec, usec uint64 }

// Queue is the queue that the packet came out of.
func (p *Packet) Queue() *Queue { return p.queue }

// Has reports whether the kernel sent all of f.
func (p *Packet) Has(f Fields) bool { return p.fields&f == f }

// Time is when the kernel received the packet. The kernel stamps only at Prerouting, Input and Forward, and only while a
// program on the host, in whatever network namespace, asks for stamps: a socket with SO_TIMESTAMP does, and dumpcap (Wireshark),
// but not tcpdump. ok is false otherwise.
func (p *Packet) Time() (t time.Time, ok bool) {
	if !p.Has(HasTime) {
		return time.Time{}, false
	}
	return time.Unix(int64(p.stamp.sec), int64(p.stamp.usec)*1000), true
}

// InName, OutName, PhysInName and PhysOutName are the names that the interfaces have now, in the queue's network
// namespace, "" for none. Each call asks the kernel.
func (p *Packet) InName() string { return p.queue.InterfaceName(p.In) }

// OutName is described at InName.
func (p *Packet) OutName() string { return p.queue.InterfaceName(p.Out) }

// PhysInName is described at InName.
func (p *Packet) PhysInName() string { return p.queue.InterfaceName(p.PhysIn) }

// PhysOutName is described at InName.
func (p *Packet) PhysOutName() string { return p.queue.InterfaceName(p.PhysOut) }

// Truncated reports whether Payload is less than the packet, because of Config.Range or of the kernel's limit.
func (p *Packet) Truncated() bool { return p.Length > len(p.Payload) }

// GSO reports whether the packet is a train of segments, longer than the device can send, that is not cut yet.
// It needs FlagGSO.
func (p *Packet) GSO() bool { return p.skbInfo&wire.SKBGSO != 0 }

// ChecksumPending reports whether a checksum in Payload is not filled in yet, because the packet has not left this host or a
// device checked it. The packet is in order all the same. It is the transport checksum, or, where the packet is a tunnel's,
// that of the packet inside: the kernel does not say which, packet.PendingChecksum finds out. It needs FlagGSO: without it
// the kernel fills the checksum in first.
func (p *Packet) ChecksumPending() bool { return p.skbInfo&wire.SKBChecksumNotReady != 0 }

// ChecksumUnverified reports whether neither a device nor the kernel has checked the transport checksum of a packet that
// came from outside: it may be wrong. Requires at least Linux 3.11; false before.
func (p *Packet) ChecksumUnverified() bool { return p.skbInfo&wire.SKBChecksumNotVerified != 0 }

// Changes is what a verdict changes. What is not set stays.
type Changes struct {
	Mark, MarkMask         uint32 // the bits of the packet mark under MarkMask become those of Mark
	ConnMark, ConnMarkMask uint32 // the same for the connection's mark; see Packet.SetConnMark

	// The labels under ConnLabelsMask become those of ConnLabels; see Packet.SetConnLabels.
	ConnLabels, ConnLabelsMask ConnLabels

	// Payload replaces the packet, from its network header on; nil leaves it. Its checksums are made true (IP, and TCP,
	// UDP and ICMP outside of fragments), and its length fields must agree with its length. The bytes have been taken
	// when the call returns.
	Payload []byte

	// Raw sends Payload as it is: no checksum is touched, not even one that is pending (Packet.ChecksumPending), and
	// nothing is compared, not even with a truncated packet. The network stack drops what it finds wrong without a word.
	Raw bool

	// More says that another answer follows at once, so that this one may wait for it, at most a millisecond: a program
	// that answers many held packets at a time sets it for all but the last, and they leave together.
	More bool

	inPlace bool // Payload is in the packet's receive buffer, which is not reused before it has been sent
}

// connection reports whether something of the connection is to change.
func (c *Changes) connection() bool { return c.ConnMarkMask != 0 || c.ConnLabelsMask != (ConnLabels{}) }

// SetMark sets the bits of the packet mark under mask when the handler returns a verdict. Later rules see it.
func (p *Packet) SetMark(mark, mask uint32) {
	p.changes.Mark = p.changes.Mark&^mask | mark&mask
	p.changes.MarkMask |= mask
}

// SetConnMark sets the bits of the connection mark under mask when the handler returns a verdict. It needs FlagConntrack, and
// fails with ErrNoConntrack where the packet came without its connection, because the kernel would ignore the mark.
// Requires at least Linux 3.6.
func (p *Packet) SetConnMark(mark, mask uint32) error {
	if p.facts.bits&isTracked == 0 {
		return p.refuse("set connection mark", ErrNoConntrack)
	}
	p.changes.ConnMark = p.changes.ConnMark&^mask | mark&mask
	p.changes.ConnMarkMask |= mask
	return nil
}

// SetPayload replaces the packet, from its network header on, when the handler returns a verdict. Payload edited in
// place is sent from where it is, if it is longer than 256 bytes: p.SetPayload(p.Payload[:n]). Anything else is copied,
// so b may be reused at once.
//
// The checksums of IP, TCP, UDP and ICMP are made true, except the transport's in a fragment, which nobody can compute.
// What b carries in a tunnel is payload, but for a checksum there that the kernel had left to the hardware
// (ChecksumPending): it is filled in, because the kernel no longer does so for a packet that was replaced. A program that
// puts such a packet into a tunnel itself completes it first, by packet.UpdateChecksums. The length fields must agree with
// len(b). Refused with nothing changed: ErrTruncated, ErrGSO, ErrChecksumInside, ErrTooLong, and lengths that disagree.
//
// New addresses take effect where routing is still to come: at Prerouting, and at Output, where the kernel routes a packet with
// another address or mark again, except after Stop. At Forward and Postrouting the packet goes where it was going. At Input it
// stays here, and one that the kernel has found a connected socket for early goes to that socket, also with another port.
func (p *Packet) SetPayload(b []byte) error {
	if err := judgePayload(b, p.facts, false, p.queue.sender.maxPayload()); err != nil {
		return p.refuse("set payload", err)
	}
	b = p.place(b)
	trueChecksums(b, p.facts)
	p.changes.Payload, p.changes.Raw = b, false
	return nil
}

// SetRawPayload is SetPayload with the bytes sent as they are: no checksum is made true or filled in, no length compared,
// and a truncated packet may be replaced by a whole one.
func (p *Packet) SetRawPayload(b []byte) error {
	if err := judgePayload(b, p.facts, true, p.queue.sender.maxPayload()); err != nil {
		return p.refuse("set payload", err)
	}
	p.changes.Payload, p.changes.Raw = p.place(b), true
	return nil
}

func (p *Packet) refuse(op string, err error) error {
	return p.queue.opError(op, fmt.Errorf("packet %v: %w", p.ID, err))
}

// place returns b inside the packet's own buffer where it fits, and makes it the packet's payload.
func (p *Packet) place(b []byte) []byte {
	if p.within(b) {
		p.changes.inPlace = true
	} else if off := p.payloadOffset(); len(b) <= len(p.slot)-off {
		copy(p.slot[off:], b)
		b = p.slot[off : off+len(b)]
		p.changes.inPlace = true
	} else {
		b = bytes.Clone(b)
		p.changes.inPlace = false
	}
	p.Payload, p.Length = b, len(b)
	return b
}

func (p *Packet) within(b []byte) bool {
	if len(b) == 0 || len(p.slot) == 0 {
		return false
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(p.slot)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return at >= base && at+uintptr(len(b)) <= base+uintptr(len(p.slot))
}

// payloadOffset is where in the slot a new payload may be written: over the old one, or behind the metadata.
func (p *Packet) payloadOffset() int {
	if p.within(p.Payload) {
		return int(uintptr(unsafe.Pointer(unsafe.SliceData(p.Payload))) - uintptr(unsafe.Pointer(unsafe.SliceData(p.slot))))
	}
	return len(p.slot)
}

// SetVerdict answers the packet with the changes set so far, as Queue.SetVerdict does. Programs that use Recv call it
// for each packet; in a Serve handler, returning the verdict does the same.
func (p *Packet) SetVerdict(v Verdict) error {
	return p.queue.answer(p.ID, v, &p.changes)
}

// Clone copies the packet with all that it points to. The copy stays valid; SetPayload and SetVerdict work on it as on
// the packet itself.
func (p *Packet) Clone() *Packet {
	c := *p
	c.slot = nil
	c.changes.inPlace = false
	for _, s := range []*[]byte{&c.Payload, &c.HWAddr, &c.L2Header, &c.SecurityContext, &c.ct, &c.changes.Payload} {
		*s = bytes.Clone(*s)
	}
	return &c
}

// fill makes p the view of a message that was decoded, and returns its facts.
func (p *Packet) fill(q *Queue, w *wire.Packet, seq uint64, slot []byte) facts {
	p.ID = ID{q.generation, seq}
	p.Family, p.Hook, p.Protocol = Family(w.Family), Hook(w.Hook), w.HWProto
	p.Mark, p.Priority, p.UID, p.GID, p.CgroupClass = w.Mark, w.Priority, w.UID, w.GID, w.CgroupClass
	p.In, p.Out, p.PhysIn, p.PhysOut = w.In, w.Out, w.PhysIn, w.PhysOut
	p.Length, p.Payload = max(int(w.CapLen), len(w.Payload)), w.Payload
	p.HWAddr, p.L2Header, p.VLAN, p.SecurityContext = w.HWAddr, w.L2Header, VLAN{w.VLANProto, w.VLANTCI}, w.SecCtx
	p.fields, p.skbInfo, p.ctInfo, p.ct, p.stamp = Fields(w.Fields), w.SKBInfo, w.CTInfo, w.CT, stamp{w.Sec, w.Usec}
	p.queue, p.slot, p.changes = q, slot, Changes{}
	// The processor waits where a value is read as a whole that has just been written in parts: here the parts stay in
	// registers until they are one.
	bits := uint32(0)
	if p.Truncated() {
		bits |= isTruncated
	}
	if p.GSO() {
		bits |= isGSO
	}
	if p.Family == Bridge {
		bits |= isBridge
	}
	if p.ct != nil {
		bits |= isTracked
		if wire.HasLabels(p.ct) {
			bits |= hasLabelRoom
		}
	}
	if p.ChecksumPending() && bits&(isTruncated|isGSO) == 0 && len(p.Payload) > 0 && pendingInside(p.Payload) {
		bits |= isPendingInside
	}
	f := facts{w.Mark, bits, q.received}
	p.facts = f
	return f
}

// judgePayload refuses a replacement that the packet cannot take.
func judgePayload(b []byte, f facts, raw bool, limit int) error {
	switch {
	case len(b) == 0:
		return errors.New("the new payload is empty: use Drop to end the packet")
	case len(b) > wire.MaxPayload:
		return fmt.Errorf("%w: %d bytes, the most is %d", ErrTooLong, len(b), wire.MaxPayload)
	case len(b) > limit:
		return fmt.Errorf("%w: %d bytes, the socket's send buffer takes %d: raise net.core.wmem_max", ErrTooLong, len(b), limit)
	case f.bits&isGSO != 0:
		return fmt.Errorf("%w: open the queue without FlagGSO to change packets", ErrGSO)
	case raw:
		return nil
	case f.bits&isTruncated != 0:
		return fmt.Errorf("%w: open the queue with a larger Config.Range to change packets", ErrTruncated)
	}
	if f.bits&isBridge == 0 || looksLikeIP(b) { // a bridge carries other protocols too
		if err := packet.CheckLengths(b); err != nil {
			return err
		}
	}
	if f.bits&isPendingInside != 0 {
		if _, err := packet.PendingChecksum(b); err != nil {
			return fmt.Errorf("%w: complete it (packet.UpdateChecksums on the packet inside, then on the whole) and send the whole by "+
				"SetRawPayload, or open the queue without FlagGSO: %w", ErrChecksumInside, err)
		}
	}
	return nil
}

// trueChecksums makes the checksums of a packet true that judgePayload has let pass.
func trueChecksums(b []byte, f facts) {
	if !looksLikeIP(b) {
		return
	}
	if f.bits&isPendingInside != 0 {
		packet.CompleteChecksum(b) // fails only where PendingChecksum does
	}
	packet.UpdateChecksums(b) // fails only for lengths that CheckLengths refuses
}

// pendingInside reports whether the checksum that the kernel has left to the hardware is not that of the packet b itself, but
// of one that it carries. The kernel forgets that it is missing when it takes a replacement. It must be found out before the
// program has changed anything: later the packet's own checksum does not show any more whether it was the one.
func pendingInside(b []byte) bool {
	switch {
	case len(b) > 9 && b[0]>>4 == 4 && b[9] == byte(packet.TCP), len(b) > 6 && b[0]>>4 == 6 && b[6] == byte(packet.TCP):
		return false // most of all; TCP carries no packets
	}
	within, err := packet.PendingChecksum(b)
	return within != 0 || err != nil
}

func looksLikeIP(b []byte) bool { return b[0]>>4 == 4 || b[0]>>4 == 6 }
