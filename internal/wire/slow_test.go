package wire_test

import (
	"encoding/binary"

	"ipq/internal/wire"
)

// The slow, obvious twins of the decoders: they copy, keep every attribute, and look at one thing at a time.

type attribute struct {
	typ   uint16
	value []byte
}

// slowAttributes splits a run of attributes, until its end or a fault.
func slowAttributes(b []byte) (list []attribute, fault bool) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return list, true
		}
		list = append(list, attribute{binary.NativeEndian.Uint16(b[2:]) &^ 0xc000, append([]byte{}, b[4:n]...)})
		for n%4 != 0 {
			n++
		}
		if n > len(b) {
			n = len(b)
		}
		b = b[n:]
	}
	return list, false
}

// upTo cuts a list before the first attribute that is shorter than it must be, and says whether there was one.
func upTo(list []attribute, least map[uint16]int) ([]attribute, bool) {
	for i, a := range list {
		if n, known := least[a.typ]; known && len(a.value) < n {
			return list[:i], true
		}
	}
	return list, false
}

// last returns the value of the last attribute of a type, nil if there is none.
func last(list []attribute, typ uint16) []byte {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].typ == typ {
			return list[i].value
		}
	}
	return nil
}

func be16(b []byte) uint16 {
	if b == nil {
		return 0
	}
	return uint16(b[0])<<8 | uint16(b[1])
}

func be32(b []byte) uint32 {
	if b == nil {
		return 0
	}
	return uint32(be16(b))<<16 | uint32(be16(b[2:]))
}

func be64(b []byte) uint64 {
	if b == nil {
		return 0
	}
	return uint64(be32(b))<<32 | uint64(be32(b[4:]))
}

var packetLeast = map[uint16]int{1: 7, 3: 4, 4: 16, 5: 4, 6: 4, 7: 4, 8: 4, 9: 4, 12: 4, 13: 4, 14: 4, 16: 4, 17: 4, 21: 4, 22: 4}

func slowPacket(body []byte) (p wire.Packet, identified, fault bool) {
	if len(body) < 4 {
		return p, false, true
	}
	list, fault := slowAttributes(body[4:])
	list, short := upTo(list, packetLeast)
	fault = fault || short
	for i, a := range list {
		if a.typ != 19 {
			continue
		}
		inner, bad := slowAttributes(a.value)
		if _, short := upTo(inner, map[uint16]int{1: 2, 2: 2}); bad || short {
			list, fault = list[:i], true
			break
		}
	}
	p.Family, p.Queue = body[0], be16(body[2:4])
	if h := last(list, 1); h != nil {
		identified = true
		p.ID, p.HWProto, p.Hook = be32(h), be16(h[4:]), h[6]
	}
	p.Mark, p.In, p.Out = be32(last(list, 3)), be32(last(list, 5)), be32(last(list, 6))
	p.PhysIn, p.PhysOut = be32(last(list, 7)), be32(last(list, 8))
	if s := last(list, 4); s != nil {
		p.Sec, p.Usec = be64(s), be64(s[8:])
	}
	if h := last(list, 9); h != nil {
		p.HWAddr = h[4:]
		p.HWAddr = p.HWAddr[:min(len(p.HWAddr), int(be16(h)), 8)]
	}
	p.Payload, p.CT, p.CTInfo = last(list, 10), last(list, 11), be32(last(list, 12))
	p.CapLen, p.SKBInfo = be32(last(list, 13)), be32(last(list, 14))
	p.UID, p.GID, p.SecCtx = be32(last(list, 16)), be32(last(list, 17)), last(list, 18)
	if v := last(list, 19); v != nil {
		inner, _ := slowAttributes(v)
		p.VLANProto, p.VLANTCI = be16(last(inner, 1)), be16(last(inner, 2))
	}
	p.L2Header, p.Priority, p.CgroupClass = last(list, 20), be32(last(list, 21)), be32(last(list, 22))
	for typ, field := range map[uint16]wire.Fields{
		3: wire.HasMark, 4: wire.HasTimestamp, 9: wire.HasHWAddr, 10: wire.HasPayload, 11: wire.HasCT, 12: wire.HasCTInfo,
		13: wire.HasCapLen, 14: wire.HasSKBInfo, 16: wire.HasUID, 17: wire.HasGID, 18: wire.HasSecCtx, 19: wire.HasVLAN,
		20: wire.HasL2Header, 21: wire.HasPriority, 22: wire.HasCgroup,
	} {
		if last(list, typ) != nil {
			p.Fields |= field
		}
	}
	return p, identified, fault || !identified
}

func slowVerdict(body []byte) (v wire.Verdict, fault bool) {
	if len(body) < 4 {
		return v, true
	}
	list, fault := slowAttributes(body[4:])
	_, short := upTo(list, map[uint16]int{2: 8, 3: 4})
	header := last(list, 2)
	if fault || short || header == nil {
		return v, true
	}
	v.Queue, v.Verdict, v.ID = be16(body[2:4]), be32(header), be32(header[4:])
	if m := last(list, 3); m != nil {
		v.SetMark, v.Mark = true, be32(m)
	}
	for _, a := range list {
		if a.typ != 11 {
			continue
		}
		ct, fault := slowConntrack(a.value)
		if fault {
			return v, true
		}
		v.ConnMark, v.ConnMarkMask = ct.Mark, ct.MarkMask
		v.ConnLabels, v.ConnLabelsMask = ct.Labels, ct.LabelsMask
	}
	if b := last(list, 10); b != nil {
		v.SetPayload, v.Payload = true, b
	}
	return v, false
}

func slowConfig(body []byte) (c wire.Config, fault bool) {
	if len(body) < 4 {
		return c, true
	}
	list, fault := slowAttributes(body[4:])
	_, short := upTo(list, map[uint16]int{1: 4, 2: 5, 3: 4, 4: 4, 5: 4})
	if fault || short {
		return c, true
	}
	c.Queue, c.MaxLen, c.Mask, c.Flags = be16(body[2:4]), be32(last(list, 3)), be32(last(list, 4)), be32(last(list, 5))
	if cmd := last(list, 1); cmd != nil {
		c.Cmd = cmd[0]
	}
	if p := last(list, 2); p != nil {
		c.SetParams, c.CopyRange, c.CopyMode = true, be32(p), p[4]
	}
	return c, false
}
