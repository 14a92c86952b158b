package ipq

import (
	"net/netip"

	"ipq/internal/wire"
)

// Conntrack is what the kernel's connection tracking knows of a packet's connection, host byte order.
type Conntrack struct {
	Original, Reply Tuple           // the connection as it was opened, and as its answers come (after NAT)
	State           ConntrackState  // of this packet in the connection
	Status          ConntrackStatus // of the connection
	Mark            uint32          // connection mark
	Zone            uint16
	ID              uint32

	Labels    ConnLabels // of the connection
	HasLabels bool       // the connection can be labelled: see ErrNoConnLabels
}

// Tuple is one direction of a connection.
type Tuple struct {
	Src, Dst           netip.Addr
	Protocol           uint8  // IPPROTO_*
	SrcPort, DstPort   uint16 // of protocols with ports
	ICMPType, ICMPCode uint8  // of ICMP and ICMPv6
	ICMPID             uint16
}

// ConntrackState is a packet's part in its connection. Source: enum ip_conntrack_info.
type ConntrackState uint8

// The states, as the kernel numbers them. 3 and 4 are the first two in the reply direction.
const (
	ConntrackEstablished      ConntrackState = 0 // IP_CT_ESTABLISHED
	ConntrackRelated          ConntrackState = 1 // IP_CT_RELATED
	ConntrackNew              ConntrackState = 2 // IP_CT_NEW
	ConntrackEstablishedReply ConntrackState = 3 // IP_CT_ESTABLISHED_REPLY
	ConntrackRelatedReply     ConntrackState = 4 // IP_CT_RELATED_REPLY
	ConntrackUntracked        ConntrackState = 7 // IP_CT_UNTRACKED
)

// String names the state as nft does, with " reply" for the reply direction.
func (s ConntrackState) String() string {
	switch s {
	case ConntrackEstablished:
		return "established"
	case ConntrackRelated:
		return "related"
	case ConntrackNew:
		return "new"
	case ConntrackEstablishedReply:
		return "established reply"
	case ConntrackRelatedReply:
		return "related reply"
	case ConntrackUntracked:
		return "untracked"
	}
	return "invalid"
}

// ConntrackStatus is the set of a connection's status bits. Source: enum ip_conntrack_status.
type ConntrackStatus uint32

// The bits that programs ask for.
const (
	StatusExpected  ConntrackStatus = 1 << 0 // IPS_EXPECTED
	StatusSeenReply ConntrackStatus = 1 << 1 // IPS_SEEN_REPLY
	StatusAssured   ConntrackStatus = 1 << 2 // IPS_ASSURED
	StatusConfirmed ConntrackStatus = 1 << 3 // IPS_CONFIRMED
	StatusSourceNAT ConntrackStatus = 1 << 4 // IPS_SRC_NAT
	StatusDestNAT   ConntrackStatus = 1 << 5 // IPS_DST_NAT
	StatusDying     ConntrackStatus = 1 << 9 // IPS_DYING
)

// Conntrack decodes the packet's connection. ok is false if the kernel sent none, which is so without FlagConntrack and
// for packets that are not tracked, or if it could not be read. A packet that opens a connection is not Confirmed yet:
// the kernel enters the connection into its table only when the packet has passed all hooks.
func (p *Packet) Conntrack() (c Conntrack, ok bool) {
	if !p.Has(Fields(wire.HasCT)) {
		return c, false
	}
	w, err := wire.DecodeConntrack(p.ct)
	if err != nil {
		return c, false
	}
	return Conntrack{
		Original: tuple(&w.Orig), Reply: tuple(&w.Reply),
		State: ConntrackState(p.ctInfo), Status: ConntrackStatus(w.Status), Mark: w.Mark, Zone: w.Zone, ID: w.ID,
		Labels: ConnLabels(w.Labels), HasLabels: w.HasLabels,
	}, true
}

func tuple(t *wire.Tuple) Tuple {
	return Tuple{
		Src: t.Src, Dst: t.Dst, Protocol: t.Proto, SrcPort: t.SrcPort, DstPort: t.DstPort,
		ICMPType: t.ICMPType, ICMPCode: t.ICMPCode, ICMPID: t.ICMPID,
	}
}
