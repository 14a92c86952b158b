package wire

import (
	"encoding/binary"
	"fmt"
)

// Fields says which optional attributes a packet message carried.
type Fields uint32

// One bit for each optional attribute.
const (
	HasMark Fields = 1 << iota
	HasTimestamp
	HasHWAddr
	HasPayload
	HasCT
	HasCTInfo
	HasCapLen
	HasSKBInfo
	HasUID
	HasGID
	HasSecCtx
	HasVLAN
	HasL2Header
	HasPriority
	HasCgroup
)

const familyBridge = 7 // AF_BRIDGE

// Packet is one NFQNL_MSG_PACKET, everything in host byte order. Slices point into the message.
type Packet struct {
	Family  uint8 // of the hook: AF_INET, AF_INET6, AF_BRIDGE
	Hook    uint8
	HWProto uint16 // EtherType
	Queue   uint16
	Fields  Fields
	ID      uint32

	Mark, In, Out, PhysIn, PhysOut  uint32
	CTInfo, CapLen, SKBInfo         uint32
	UID, GID, Priority, CgroupClass uint32
	VLANProto, VLANTCI              uint16
	Sec, Usec                       uint64

	HWAddr, SecCtx, L2Header, CT, Payload []byte
}

// attrPolicy is the least length of each attribute's value, and the bit that says it was there.
var attrPolicy = [...]struct {
	min   uint8
	field Fields
}{
	attrPacketHdr: {7, 0},
	attrMark:      {4, HasMark},
	attrTimestamp: {16, HasTimestamp},
	attrIn:        {4, 0},
	attrOut:       {4, 0},
	attrPhysIn:    {4, 0},
	attrPhysOut:   {4, 0},
	attrHWAddr:    {4, HasHWAddr},
	attrPayload:   {0, HasPayload},
	attrCT:        {0, HasCT},
	attrCTInfo:    {4, HasCTInfo},
	attrCapLen:    {4, HasCapLen},
	attrSKBInfo:   {4, HasSKBInfo},
	attrUID:       {4, HasUID},
	attrGID:       {4, HasGID},
	attrSecCtx:    {0, HasSecCtx},
	attrVLAN:      {0, HasVLAN},
	attrL2Header:  {0, HasL2Header},
	attrPriority:  {4, HasPriority},
	attrCgroup:    {4, HasCgroup},
}

// DecodePacket reads the body of an NFQNL_MSG_PACKET into p, overwriting all of it. A message that was cut short, as a
// receive buffer that is too small makes it, gives what could be read with an error; identified says whether the
// packet's id was among it, so that the packet can still be given a verdict. The kernel writes the id first.
func DecodePacket(p *Packet, body []byte) (identified bool, err error) {
	*p = Packet{}
	if len(body) < nfgenSize {
		return false, fmt.Errorf("nfgenmsg: %w", ErrShort)
	}
	p.Family, p.Queue = body[0], binary.BigEndian.Uint16(body[2:])
	// The walk of attrs, written out: this is done for every packet.
	for b := body[nfgenSize:]; len(b) >= attrHeaderSize; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < attrHeaderSize || n > len(b) {
			return identified, attrCut(n, len(b))
		}
		typ, v := binary.NativeEndian.Uint16(b[2:])&attrTypeMask, b[attrHeaderSize:n:n]
		b = b[min(alignUp(n), len(b)):]
		if int(typ) >= len(attrPolicy) {
			continue // newer than this code
		}
		policy := &attrPolicy[typ]
		if len(v) < int(policy.min) {
			return identified, fmt.Errorf("packet attribute %d: %w: %d bytes of %d", typ, ErrShort, len(v), policy.min)
		}
		if typ == attrVLAN {
			if err := decodeVLAN(p, v); err != nil {
				return identified, err
			}
		}
		p.Fields |= policy.field
		// What the kernel does is in nfqnl_build_packet_message() of net/netfilter/nfnetlink_queue.c, unless it says otherwise.
		switch typ {
		case attrPacketHdr:
			// Always, and first. The id is the queue's counter, which skips a packet that did not fit into the socket's buffer.
			p.ID, p.HWProto, p.Hook = binary.BigEndian.Uint32(v), binary.BigEndian.Uint16(v[4:]), v[6]
			identified = true
		case attrMark:
			// skb->mark; left out when 0.
			p.Mark = binary.BigEndian.Uint32(v)
		case attrTimestamp:
			// skb->tstamp, of the wall clock, if there is one: at Output and Postrouting the field means something else, so
			// the kernel leaves it out there. It is set on receipt while net_enable_timestamp() is on.
			p.Sec, p.Usec = binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])
		case attrIn:
			// state->in. For the ip families that is the bridge where the packet came through one, for the bridge family it
			// is the port's master.
			p.In = binary.BigEndian.Uint32(v)
		case attrOut:
			// state->out; as attrIn.
			p.Out = binary.BigEndian.Uint32(v)
		case attrPhysIn:
			// The bridge's port: nf_bridge_get_physinif() with br_netfilter, state->in in the bridge family.
			p.PhysIn = binary.BigEndian.Uint32(v)
		case attrPhysOut:
			// The bridge's port that the packet leaves by; as attrPhysIn.
			p.PhysOut = binary.BigEndian.Uint32(v)
		case attrHWAddr:
			// dev_parse_header() of a packet that has a device it came in by: struct nfqnl_msg_packet_hw, whose array is of 8
			// bytes and whose length says how many of them count.
			n := int(binary.BigEndian.Uint16(v))
			p.HWAddr = v[4:min(4+n, len(v), 12)]
		case attrPayload:
			// skb_zerocopy() of what NFQNL_COPY_PACKET and its range ask for; last, and not padded (the length of the whole
			// message is that of the socket buffer). Before, the checksum is filled in unless the queue has the GSO flag.
			p.Payload = v
		case attrCT:
			// The connection as ctnetlink dumps it (ctnetlink_glue_build() of nf_conntrack_netlink.c), decoded on demand.
			p.CT = v
		case attrCTInfo:
			// enum ip_conntrack_info, beside every attrCT.
			p.CTInfo = binary.BigEndian.Uint32(v)
		case attrCapLen:
			// skb->len, when less of it was copied: truncated packets alone have it.
			p.CapLen = binary.BigEndian.Uint32(v)
		case attrSKBInfo:
			// nfqnl_put_packet_info(): CHECKSUM_PARTIAL, but not where csum_start is; skb_is_gso(); and whether a checksum that
			// came from outside was checked.
			p.SKBInfo = binary.BigEndian.Uint32(v)
		case attrUID:
			// nfqnl_put_sk_uidgid(): of the file behind a full socket, as the initial user namespace numbers it.
			p.UID = binary.BigEndian.Uint32(v)
		case attrGID:
			// As attrUID.
			p.GID = binary.BigEndian.Uint32(v)
		case attrSecCtx:
			// nfqnl_get_sk_secctx(): of a packet with a local socket, the text that the security module has for it.
			p.SecCtx = v
		case attrL2Header:
			// nfqnl_put_bridge(): from the MAC header to the network header, in the bridge family alone. attrVLAN is there too.
			p.L2Header = v
		case attrPriority:
			// skb->priority; left out when 0.
			p.Priority = binary.BigEndian.Uint32(v)
		case attrCgroup:
			// nfqnl_put_sk_classid(): sock_cgroup_classid() of a full socket, as attrUID; left out when 0.
			p.CgroupClass = binary.BigEndian.Uint32(v)
		}
	}
	if !identified {
		return false, fmt.Errorf("packet message: %w: it has no NFQA_PACKET_HDR", ErrShort)
	}
	return identified, nil
}

// decodeVLAN reads the attributes nested in NFQA_VLAN. It sets nothing in p if one of them cannot be read.
func decodeVLAN(p *Packet, b []byte) error {
	var proto, tci uint16
	a := attrs{b: b}
	for {
		typ, v, ok := a.next()
		if !ok {
			break
		}
		if typ != attrVLANProto && typ != attrVLANTCI {
			continue
		}
		if len(v) < 2 {
			return fmt.Errorf("VLAN attribute %d: %w", typ, ErrShort)
		}
		if typ == attrVLANProto {
			proto = binary.BigEndian.Uint16(v)
		} else {
			tci = binary.BigEndian.Uint16(v)
		}
	}
	if a.err == nil {
		p.VLANProto, p.VLANTCI = proto, tci
	}
	return a.err
}

// AppendPacket appends p as the kernel would send it: only what p.Fields says is there, and interfaces that are not 0. Like
// the kernel's own, the message is not padded after the payload.
func AppendPacket(b []byte, p *Packet) []byte {
	start := len(b)
	b = appendHeader(b, TypePacket, 0, 0, p.Family, p.Queue)
	b = appendAttrHeader(b, attrPacketHdr, 7)
	b = binary.BigEndian.AppendUint32(b, p.ID)
	b = binary.BigEndian.AppendUint16(b, p.HWProto)
	b = Pad(append(b, p.Hook))
	b = appendDevices(b, p)
	b = append32(b, p, attrMark, p.Mark)
	b = append32(b, p, attrPriority, p.Priority)
	if p.Fields&HasHWAddr != 0 {
		b = appendAttrHeader(b, attrHWAddr, 12)
		b = binary.BigEndian.AppendUint16(b, uint16(min(len(p.HWAddr), 8)))
		var addr [10]byte // two bytes of padding, eight of address
		copy(addr[2:], p.HWAddr)
		b = append(b, addr[:]...)
	}
	if p.Fields&HasVLAN != 0 {
		b = appendAttrHeader(b, attrVLAN|attrNested, 16)
		b = appendAttr16(b, attrVLANTCI, p.VLANTCI)
		b = appendAttr16(b, attrVLANProto, p.VLANProto)
	}
	b = appendBytes(b, p, attrL2Header, p.L2Header)
	if p.Fields&HasTimestamp != 0 {
		b = appendAttrHeader(b, attrTimestamp, 16)
		b = binary.BigEndian.AppendUint64(b, p.Sec)
		b = binary.BigEndian.AppendUint64(b, p.Usec)
	}
	b = append32(b, p, attrUID, p.UID)
	b = append32(b, p, attrGID, p.GID)
	b = append32(b, p, attrCgroup, p.CgroupClass)
	b = appendBytes(b, p, attrSecCtx, p.SecCtx)
	b = appendBytes(b, p, attrCT, p.CT)
	b = append32(b, p, attrCTInfo, p.CTInfo)
	b = append32(b, p, attrCapLen, p.CapLen)
	b = append32(b, p, attrSKBInfo, p.SKBInfo)
	if p.Fields&HasPayload != 0 {
		b = appendAttrHeader(b, attrPayload, len(p.Payload))
		b = append(b, p.Payload...)
	}
	return finish(b, start, 0)
}

// appendDevices appends the interfaces. Of a bridge the kernel names the port first.
func appendDevices(b []byte, p *Packet) []byte {
	devices := [...]struct {
		typ   uint16
		index uint32
	}{{attrIn, p.In}, {attrPhysIn, p.PhysIn}, {attrOut, p.Out}, {attrPhysOut, p.PhysOut}}
	if p.Family == familyBridge {
		devices[0], devices[1] = devices[1], devices[0]
		devices[2], devices[3] = devices[3], devices[2]
	}
	for _, d := range devices {
		if d.index != 0 {
			b = appendAttr32(b, d.typ, d.index)
		}
	}
	return b
}

// append32 appends an attribute that p.Fields says is there.
func append32(b []byte, p *Packet, typ uint16, v uint32) []byte {
	if p.Fields&attrPolicy[typ].field == 0 {
		return b
	}
	return appendAttr32(b, typ, v)
}

func appendBytes(b []byte, p *Packet, typ uint16, v []byte) []byte {
	if p.Fields&attrPolicy[typ].field == 0 {
		return b
	}
	if typ == attrCT {
		typ |= attrNested
	}
	return appendAttrBytes(b, typ, v)
}
