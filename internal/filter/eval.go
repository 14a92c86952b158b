package filter

import (
	"encoding/binary"
	"slices"

	"ipq/packet"
)

func (b *binaryExpr) eval(h *packet.Headers) bool {
	if b.or {
		return b.x.eval(h) || b.y.eval(h)
	}
	return b.x.eval(h) && b.y.eval(h)
}

func (n *not) eval(h *packet.Headers) bool { return !n.x.eval(h) }

func (p *isProtocol) eval(h *packet.Headers) bool {
	if h.Version == 0 || p.family != 0 && p.family != h.Version {
		return false
	}
	return p.protocol == anyProtocol || p.protocol == transport(h)
}

// transport is the protocol as the kernel's rules see it. Headers looks further: behind an authentication header.
func transport(h *packet.Headers) packet.Protocol {
	switch h.Version {
	case 4:
		return packet.Protocol(h.Packet()[protocolAt4])
	case 6:
		return transport6(h.Packet()[:min(h.Length, len(h.Packet()))])
	}
	return 0
}

const (
	protocolAt4 = 9 // in the IPv4 header
	protocolAt6 = 6 // in the IPv6 header
	headerSize6 = 40
)

// IPv6 extension headers that the kernel walks.
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destination = 60
)

// transport6 walks the extension headers of an IPv6 packet as nf_tables does, with ipv6_find_hdr: an authentication header ends
// the walk, and an extension header that is cut off still names the next one.
func transport6(b []byte) packet.Protocol {
	p, at := b[protocolAt6], headerSize6
	for p == hopByHop || p == routing || p == fragment || p == destination {
		if at+4 > len(b) && (p == fragment || at+2 > len(b)) {
			break
		}
		size := 8 * (int(b[at+1]) + 1)
		if p == fragment {
			if binary.BigEndian.Uint16(b[at+2:])&^7 != 0 { // the rest of the headers is in another fragment
				return packet.Protocol(b[at])
			}
			size = 8
		}
		p, at = b[at], at+size
	}
	return packet.Protocol(p)
}

func (a *hasAddress) eval(h *packet.Headers) bool {
	return a.direction.holds(func(source bool) bool {
		end := h.Dst
		if source {
			end = h.Src
		}
		return a.prefix.Contains(end)
	})
}

func (p *hasPort) eval(h *packet.Headers) bool {
	if !slices.Contains(p.protocols, transport(h)) {
		return false
	}
	return p.direction.holds(func(source bool) bool {
		port, ok := portOf(h, source)
		return ok && port >= p.first && port <= p.last
	})
}

// holds asks a test about the ends that the direction means.
func (d direction) holds(test func(source bool) bool) bool {
	switch d {
	case sourceEnd:
		return test(true)
	case destinationEnd:
		return test(false)
	case bothEnds:
		return test(true) && test(false)
	}
	return test(true) || test(false)
}

// portOf is a port of the packet, if it has any.
func portOf(h *packet.Headers, source bool) (port uint16, ok bool) {
	if source {
		return h.SrcPort, h.Has(packet.HasPorts)
	}
	return h.DstPort, h.Has(packet.HasPorts)
}
