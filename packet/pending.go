package packet

import (
	"encoding/binary"
	"fmt"
)

// PendingChecksum finds the checksum of the packet b that the kernel has left to the hardware (CHECKSUM_PARTIAL). Call it
// only for a packet of which the kernel says that there is one: it tells that, and not where. within is the offset in b of
// the IP packet whose transport checksum it is: 0 for b's own, more for that of a packet which b carries in a tunnel. For the
// checksum of a GRE header it is the offset of that header. Nothing is changed.
//
// It reads packets in IPv4 and IPv6 (IPIP, 6in4), GRE, VXLAN, VXLAN-GPE, Geneve, FOU and GUE, on any UDP port. The error wraps
// ErrTunnel if the checksum is somewhere else, and is that of CheckLengths if b is not whole.
func PendingChecksum(b []byte) (within int, err error) {
	p, err := findPending(b)
	return p.at, err
}

// CompleteChecksum fills in the checksum that PendingChecksum finds, as the hardware would. Those outside of it stay as they
// are: the kernel has computed them for the complete packet. On error nothing has been changed.
func CompleteChecksum(b []byte) error {
	p, err := findPending(b)
	if err != nil {
		return err
	}
	if p.gre {
		t := b[p.at:p.end]
		putSum(t, greChecksum, 0)
		putSum(t, greChecksum, ^fold(sum(0, t)))
		return nil
	}
	return UpdateChecksums(b[p.at:p.end])
}

// pending is where a checksum is that was left to the hardware.
type pending struct {
	at, end int  // of the IP packet, or from the GRE header on
	gre     bool // the GRE header's own
}

// maxTunnels is how many tunnels may be inside each other.
const maxTunnels = 4

func findPending(b []byte) (p pending, err error) {
	var l layout
	l.locate(b)
	if err := l.whole(b); err != nil {
		return p, err
	}
	if p, ok := findIn(b, &l, 0, 0); ok {
		return p, nil
	}
	return p, errNotFound
}

// errNotFound is made once: the queue may look at every packet.
var errNotFound = fmt.Errorf("%w: neither its own checksum nor one found inside was left to the hardware", ErrTunnel)

// findIn looks in the packet at offset at, of which l is the layout, and then in what it carries.
func findIn(b []byte, l *layout, at, depth int) (p pending, ok bool) {
	own := pending{at: at, end: at + l.end}
	if l.fragmented() || !l.hasTransport() {
		return p, false // the kernel fills the checksum in before it makes fragments
	}
	t := b[at+l.transport : at+l.end]
	switch l.protocol {
	case TCP, SCTP:
		return own, true // they carry no packets
	case ipInIP, ip6InIP:
		return findPacket(b, at+l.transport, at+l.end, depth)
	case gre:
		return findGRE(b, at+l.transport, at+l.end, depth)
	case UDP:
		if l.leftOut(b[at:], t) {
			return own, true
		}
		if p, ok := findUDP(b, at+l.transport+udpSize, at+l.end, depth); ok {
			return p, true
		}
		return own, depth > 0 && l.right(b[at:], t)
	case UDPLite, ICMPv6:
		return own, l.leftOut(b[at:], t) || depth > 0 && l.right(b[at:], t)
	}
	return p, false
}

// leftOut reports whether the checksum of the transport t is but the sum of the pseudo-header, which the kernel leaves there
// for the hardware to add to. In ones' complement 0 and 0xffff are the same.
func (l *layout) leftOut(b, t []byte) bool {
	at, pseudo, _ := checksumAt(l.protocol)
	if !pseudo || len(t) < at+2 || l.dstAt == nowhere {
		return false
	}
	got, want := getSum(t, at), fold(l.pseudo(b, len(t)))
	return got == want || got == 0 && want == 0xffff && l.protocol != UDP
}

// right reports whether the checksum of the transport t is there, and true.
func (l *layout) right(b, t []byte) bool {
	at, pseudo, _ := checksumAt(l.protocol)
	return pseudo && len(t) >= at+2 && l.dstAt != nowhere && getSum(t, at) != 0 && fold(add(sum(0, t), l.pseudo(b, len(t)))) == 0xffff
}

// findPacket looks at the IP packet that b has from at to end. One that fills less is followed by an Ethernet frame's padding.
func findPacket(b []byte, at, end, depth int) (p pending, ok bool) {
	if depth++; depth > maxTunnels || at >= end {
		return p, false
	}
	inner := b[at:end]
	var l layout
	l.locate(inner)
	if !l.isWhole() || l.version == 4 && fold(sum(0, inner[:int(inner[0]&15)*4])) != 0xffff {
		return p, false
	}
	return findIn(b, &l, at, depth)
}

// findFrame looks at the Ethernet frame that b has from at to end.
func findFrame(b []byte, at, end, depth int) (p pending, ok bool) {
	const addresses, tag = 12, 4
	at += addresses
	for tags := 0; at+2 <= end && tags < 2; tags++ {
		typ := binary.BigEndian.Uint16(b[at:])
		if typ != etherVLAN && typ != etherServiceVLAN {
			return findEtherType(b, typ, at+2, end, depth)
		}
		at += tag
	}
	return p, false
}

// findEtherType looks at what a tunnel says is an EtherType, from at to end.
func findEtherType(b []byte, typ uint16, at, end, depth int) (p pending, ok bool) {
	switch typ {
	case etherIPv4, etherIPv6:
		return findPacket(b, at, end, depth)
	case etherBridging:
		return findFrame(b, at, end, depth)
	}
	return p, false
}
