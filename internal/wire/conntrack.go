package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Attributes of a connection. Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const (
	attrCTTupleOrig  = 1  // CTA_TUPLE_ORIG
	attrCTTupleReply = 2  // CTA_TUPLE_REPLY
	attrCTStatus     = 3  // CTA_STATUS
	attrCTMark       = 8  // CTA_MARK
	attrCTID         = 12 // CTA_ID
	attrCTZone       = 18 // CTA_ZONE
	attrCTMarkMask   = 21 // CTA_MARK_MASK
	attrCTLabels     = 22 // CTA_LABELS
	attrCTLabelsMask = 23 // CTA_LABELS_MASK

	attrTupleIP    = 1 // CTA_TUPLE_IP
	attrTupleProto = 2 // CTA_TUPLE_PROTO

	attrIPv4Src = 1 // CTA_IP_V4_SRC
	attrIPv4Dst = 2 // CTA_IP_V4_DST
	attrIPv6Src = 3 // CTA_IP_V6_SRC
	attrIPv6Dst = 4 // CTA_IP_V6_DST

	attrProtoNum   = 1 // CTA_PROTO_NUM
	attrProtoSrc   = 2 // CTA_PROTO_SRC_PORT
	attrProtoDst   = 3 // CTA_PROTO_DST_PORT
	attrICMPID     = 4 // CTA_PROTO_ICMP_ID
	attrICMPType   = 5 // CTA_PROTO_ICMP_TYPE
	attrICMPCode   = 6 // CTA_PROTO_ICMP_CODE
	attrICMPv6ID   = 7 // CTA_PROTO_ICMPV6_ID
	attrICMPv6Type = 8 // CTA_PROTO_ICMPV6_TYPE
	attrICMPv6Code = 9 // CTA_PROTO_ICMPV6_CODE
)

// Tuple is one direction of a connection, host byte order.
type Tuple struct {
	Src, Dst           netip.Addr
	Proto              uint8
	SrcPort, DstPort   uint16 // of protocols with ports
	ICMPType, ICMPCode uint8
	ICMPID             uint16
}

// Labels are the bits that a connection is labelled with, as they lie in the kernel's memory: an array of C's unsigned
// long, NF_CT_LABELS_MAX_SIZE bytes.
type Labels [16]byte

// Conntrack is what NFQA_CT says about a packet's connection, host byte order.
type Conntrack struct {
	Orig, Reply    Tuple
	Status         uint32 // IPS_* bits
	Mark, MarkMask uint32
	Zone           uint16
	ID             uint32
	HasLabels      bool // the connection has room for labels
	Labels         Labels
	LabelsMask     Labels
}

// DecodeConntrack reads the attributes nested in NFQA_CT.
func DecodeConntrack(b []byte) (c Conntrack, err error) {
	a := attrs{b: b}
	for {
		typ, v, ok := a.next()
		if !ok {
			return c, a.err
		}
		switch typ {
		case attrCTTupleOrig:
			c.Orig, err = decodeTuple(v)
		case attrCTTupleReply:
			c.Reply, err = decodeTuple(v)
		case attrCTStatus:
			c.Status, err = get32(v)
		case attrCTMark:
			c.Mark, err = get32(v)
		case attrCTMarkMask:
			c.MarkMask, err = get32(v)
		case attrCTID:
			c.ID, err = get32(v)
		case attrCTZone:
			c.Zone, err = get16(v)
		case attrCTLabels:
			c.HasLabels, c.Labels = true, getLabels(v)
		case attrCTLabelsMask:
			c.LabelsMask = getLabels(v)
		}
		if err != nil {
			return c, fmt.Errorf("conntrack attribute %d: %w", typ, err)
		}
	}
}

// getLabels takes what is there: a kernel may have room for fewer labels.
func getLabels(b []byte) (l Labels) {
	copy(l[:], b)
	return l
}

// HasLabels reports whether the attributes nested in NFQA_CT say that the connection has room for labels.
func HasLabels(b []byte) bool {
	a := attrs{b: b}
	for {
		typ, _, ok := a.next()
		if !ok || typ == attrCTLabels {
			return ok
		}
	}
}

func decodeTuple(b []byte) (t Tuple, err error) {
	a := attrs{b: b}
	for {
		typ, v, ok := a.next()
		if !ok {
			return t, a.err
		}
		switch typ {
		case attrTupleIP:
			err = decodeTupleIP(&t, v)
		case attrTupleProto:
			err = decodeTupleProto(&t, v)
		}
		if err != nil {
			return t, err
		}
	}
}

func decodeTupleIP(t *Tuple, b []byte) error {
	a := attrs{b: b}
	for {
		typ, v, ok := a.next()
		if !ok {
			return a.err
		}
		size := 4
		switch typ {
		case attrIPv4Src, attrIPv4Dst:
		case attrIPv6Src, attrIPv6Dst:
			size = 16
		default:
			continue
		}
		if len(v) != size {
			return fmt.Errorf("address of %d bytes instead of %d: %w", len(v), size, ErrShort)
		}
		addr, _ := netip.AddrFromSlice(v)
		if typ == attrIPv4Src || typ == attrIPv6Src {
			t.Src = addr
		} else {
			t.Dst = addr
		}
	}
}

func decodeTupleProto(t *Tuple, b []byte) (err error) {
	a := attrs{b: b}
	for {
		typ, v, ok := a.next()
		if !ok {
			return a.err
		}
		switch typ {
		case attrProtoNum:
			t.Proto, err = get8(v)
		case attrProtoSrc:
			t.SrcPort, err = get16(v)
		case attrProtoDst:
			t.DstPort, err = get16(v)
		case attrICMPID, attrICMPv6ID:
			t.ICMPID, err = get16(v)
		case attrICMPType, attrICMPv6Type:
			t.ICMPType, err = get8(v)
		case attrICMPCode, attrICMPv6Code:
			t.ICMPCode, err = get8(v)
		}
		if err != nil {
			return err
		}
	}
}

// AppendConntrack appends c as the kernel writes the inside of NFQA_CT: a zone and a mark only when they are not 0. The
// kernel never writes a mask, it reads one.
func AppendConntrack(b []byte, c *Conntrack) []byte {
	b = appendTuple(b, attrCTTupleOrig, &c.Orig)
	b = appendTuple(b, attrCTTupleReply, &c.Reply)
	if c.Zone != 0 {
		b = appendAttr16(b, attrCTZone, c.Zone)
	}
	b = appendAttr32(b, attrCTID, c.ID)
	b = appendAttr32(b, attrCTStatus, c.Status)
	if c.Mark != 0 {
		b = appendAttr32(b, attrCTMark, c.Mark)
	}
	if c.MarkMask != 0 {
		b = appendAttr32(b, attrCTMarkMask, c.MarkMask)
	}
	if c.HasLabels {
		b = appendAttrBytes(b, attrCTLabels, c.Labels[:])
	}
	if c.LabelsMask != (Labels{}) {
		b = appendAttrBytes(b, attrCTLabelsMask, c.LabelsMask[:])
	}
	return b
}

const (
	protoICMP   = 1  // IPPROTO_ICMP
	protoICMPv6 = 58 // IPPROTO_ICMPV6
)

func appendTuple(b []byte, typ uint16, t *Tuple) []byte {
	outer := len(b)
	b = appendAttrHeader(b, typ|attrNested, 0)
	ip := len(b)
	b = appendAttrHeader(b, attrTupleIP|attrNested, 0)
	b = appendAddr(b, attrIPv4Src, attrIPv6Src, t.Src)
	b = appendAddr(b, attrIPv4Dst, attrIPv6Dst, t.Dst)
	closeNested(b, ip)
	proto := len(b)
	b = appendAttrHeader(b, attrTupleProto|attrNested, 0)
	b = appendAttrBytes(b, attrProtoNum, []byte{t.Proto})
	echo := t.Proto == protoICMP || t.Proto == protoICMPv6
	if !echo || t.SrcPort != 0 || t.DstPort != 0 {
		b = appendAttr16(b, attrProtoSrc, t.SrcPort)
		b = appendAttr16(b, attrProtoDst, t.DstPort)
	}
	if echo || t.ICMPID != 0 || t.ICMPType != 0 || t.ICMPCode != 0 {
		id, kind, code := uint16(attrICMPID), uint16(attrICMPType), uint16(attrICMPCode)
		if t.Proto == protoICMPv6 {
			id, kind, code = attrICMPv6ID, attrICMPv6Type, attrICMPv6Code
		}
		b = appendAttr16(b, id, t.ICMPID)
		b = appendAttrBytes(b, kind, []byte{t.ICMPType})
		b = appendAttrBytes(b, code, []byte{t.ICMPCode})
	}
	closeNested(b, proto)
	closeNested(b, outer)
	return b
}

// appendAddr appends an address under the type of its family.
func appendAddr(b []byte, v4, v6 uint16, a netip.Addr) []byte {
	switch {
	case a.Is4():
		return appendAttrBytes(b, v4, a.AsSlice())
	case a.Is6():
		return appendAttrBytes(b, v6, a.AsSlice())
	}
	return b
}

func appendAttr16(b []byte, typ uint16, v uint16) []byte {
	b = appendAttrHeader(b, typ, 2)
	return Pad(binary.BigEndian.AppendUint16(b, v))
}

func appendAttrBytes(b []byte, typ uint16, v []byte) []byte {
	b = appendAttrHeader(b, typ, len(v))
	return Pad(append(b, v...))
}

// closeNested writes the length of the nested attribute that starts at b[start:] and ends with b.
func closeNested(b []byte, start int) {
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
}

func get8(v []byte) (uint8, error) {
	if len(v) < 1 {
		return 0, ErrShort
	}
	return v[0], nil
}

func get16(v []byte) (uint16, error) {
	if len(v) < 2 {
		return 0, ErrShort
	}
	return binary.BigEndian.Uint16(v), nil
}

func get32(v []byte) (uint32, error) {
	if len(v) < 4 {
		return 0, ErrShort
	}
	return binary.BigEndian.Uint32(v), nil
}
