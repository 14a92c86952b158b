package rules

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// field is what a condition looks at.
type field uint8

const (
	fieldIn field = iota
	fieldOut
	fieldPktType
	fieldFamily
	fieldProtocol
	fieldSrc4
	fieldDst4
	fieldSrc6
	fieldDst6
	fieldSrcPort
	fieldDstPort
	fieldICMPType
	fieldICMPv6Type
	fieldTransport // bytes 1 to 3 of the transport header: see wholePorts
	fieldMark
	fieldState
	fieldPackets
	fieldSrcType
	fieldNextHop
)

// condition is one test of a rule: the field, in the bits of mask if there is one, is in one of the spans. When the kernel
// cannot read the field, the rule does not match.
type condition struct {
	field field
	spans []span
	mask  uint32 // fieldMark and fieldState
	value uint32 // what the bits of the mark are; the bits of the state, one of which must be set, are mask
}

// Values of fields that are not lists of the user's.
const (
	pktBroadcast = 1 // PACKET_BROADCAST
	pktMulticast = 2 // PACKET_MULTICAST
	typeLocal    = 2 // RTN_LOCAL
)

// families is a set of versions of IP.
type families uint8

const (
	only4 families = 1 << iota
	only6
	both = only4 | only6
)

func (f Family) set() families {
	switch f {
	case IPv4:
		return only4
	case IPv6:
		return only6
	}
	return both
}

// families are those that the match can hold for.
func (m Match) families() families {
	set := m.Family.set()
	if len(m.Src) != 0 {
		set &= prefixFamilies(m.Src)
	}
	if len(m.Dst) != 0 {
		set &= prefixFamilies(m.Dst)
	}
	if len(m.ICMPTypes) != 0 {
		set &= m.icmp().set()
	}
	return set
}

// variants are the ways to say the match to the kernel, each a list of conditions that must all hold, in a table that
// sees the families of scope. A packet that the match takes fits at least one of them.
func (m Match) variants(scope families) [][]condition {
	var out [][]condition
	// One interface at a time: nft cannot list a set of names that it has not made itself.
	for _, in := range orNone(m.In) {
		for _, o := range orNone(m.Out) {
			m.In, m.Out = in, o
			out = append(out, m.perFamily(scope)...)
		}
	}
	return out
}

// orNone cuts the list into lists of one; an empty list stays.
func orNone(names []string) [][]string {
	if len(names) == 0 {
		return [][]string{nil}
	}
	return slices.Collect(slices.Chunk(names, 1))
}

func (m Match) perFamily(scope families) [][]condition {
	set := m.families() & scope
	// One rule for both families, unless it must look into the IP header.
	if set == both && len(m.Src) == 0 && len(m.Dst) == 0 {
		return m.looped(m.conditions(0), set)
	}
	var out [][]condition
	for _, f := range []Family{IPv4, IPv6} {
		if set&f.set() != 0 {
			list := m.conditions(f)
			if scope != both { // the table sees nothing else
				list = without(list, fieldFamily)
			}
			out = append(out, m.looped(list, set&f.set())...)
		}
	}
	return out
}

// conditions are those of the match for packets of a family; 0 is both.
func (m Match) conditions(f Family) []condition {
	var list []condition
	add := func(c condition) {
		if len(c.spans) != 0 || c.mask != 0 {
			list = append(list, c)
		}
	}
	add(condition{field: fieldIn, spans: nameSpan(m.In)})
	add(condition{field: fieldOut, spans: nameSpan(m.Out)})
	if f != 0 {
		add(condition{field: fieldFamily, spans: []span{one(byte(f))}})
	}
	protocols := m.Protocols
	if len(m.SrcPorts) != 0 || len(m.DstPorts) != 0 {
		protocols = m.ports()
	}
	add(condition{field: fieldProtocol, spans: byteSpans(protocols)})
	src, dst := fieldSrc4, fieldDst4
	if f == IPv6 {
		src, dst = fieldSrc6, fieldDst6
	}
	if spans := prefixSpans(m.Src, f); !everything(spans) {
		add(condition{field: src, spans: spans})
	}
	if spans := prefixSpans(m.Dst, f); !everything(spans) {
		add(condition{field: dst, spans: spans})
	}
	add(condition{field: fieldSrcPort, spans: portSpans(m.SrcPorts)})
	add(condition{field: fieldDstPort, spans: portSpans(m.DstPorts)})
	icmp := fieldICMPType
	if f == IPv6 {
		icmp = fieldICMPv6Type
	}
	add(condition{field: icmp, spans: byteSpans(m.ICMPTypes)})
	if len(m.SrcPorts) != 0 || len(m.DstPorts) != 0 || len(m.ICMPTypes) != 0 {
		add(wholePorts)
	}
	add(condition{field: fieldMark, mask: m.MarkMask, value: m.Mark})
	add(condition{field: fieldState, mask: uint32(m.States)})
	if m.FirstPackets != 0 {
		// From 1: a connection whose packets are not counted reads as 0, and one that is counted has counted this packet.
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(m.FirstPackets))
		add(condition{field: fieldPackets, spans: []span{{[]byte{0, 0, 0, 0, 0, 0, 0, 1}, n[:]}}})
	}
	return list
}

// wholePorts holds when the first four bytes of a transport header are there. The kernel loads one, two or four bytes by a
// short way that does not look whether the packet is a later fragment, and takes its data, or in IPv6 the IP header, for
// the transport header (seen in 6.18). It does look when it loads three.
var wholePorts = condition{field: fieldTransport, spans: []span{{[]byte{0, 0, 0}, []byte{255, 255, 255}}}}

// looped adds to the conditions what LoopedBack means.
func (m Match) looped(list []condition, set families) [][]condition {
	if !m.LoopedBack {
		return [][]condition{list}
	}
	copies := append(slices.Clone(list),
		condition{field: fieldPktType, spans: []span{one(pktBroadcast), one(pktMulticast)}},
		condition{field: fieldSrcType, spans: []span{one(hostOrder(typeLocal)...)}})
	if set&only4 == 0 {
		return [][]condition{copies}
	}
	// A host without an address broadcasts from 0.0.0.0, as others do. What it hears from them has no route yet; the copy
	// of its own packet carries the one that it was sent by.
	unnamed := append(slices.Clone(list),
		condition{field: fieldPktType, spans: []span{one(pktBroadcast)}},
		condition{field: fieldSrc4, spans: []span{one(0, 0, 0, 0)}},
		condition{field: fieldNextHop, spans: []span{{[]byte{0, 0, 0, 0}, []byte{255, 255, 255, 255}}}})
	if set == both {
		unnamed = append([]condition{{field: fieldFamily, spans: []span{one(byte(IPv4))}}}, unnamed...)
	}
	return [][]condition{copies, unnamed}
}

// hostOrder is the number as the kernel holds it in a register.
func hostOrder(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// quantity reports whether the field's values are joined into ranges, so that a set of them is one of intervals.
func (f field) quantity() bool {
	return f >= fieldSrc4 && f <= fieldDstPort
}

func without(list []condition, f field) []condition {
	return slices.DeleteFunc(slices.Clone(list), func(c condition) bool { return c.field == f })
}

func prefixFamilies(prefixes []netip.Prefix) families {
	var set families
	for _, p := range prefixes {
		if p.Addr().Is4() {
			set |= only4
		} else {
			set |= only6
		}
	}
	return set
}

// everything reports whether the spans are all addresses there are.
func everything(spans []span) bool { return len(spans) == 1 && spans[0].prefix() == 0 }
