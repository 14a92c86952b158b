package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"ipq/packet"
)

// icmp appends what an ICMP message says; length is that of the message.
func (l *lines) icmp(b []byte, sum checksum, length int) []byte {
	h := &l.headers
	if !h.Has(packet.HasICMP) {
		return append(b, "[|icmp]"...)
	}
	b = append(b, "ICMP "...)
	p := h.Packet()[h.TransportOffset:]
	switch h.ICMPType {
	case 0:
		b = l.query(append(b, "echo reply"...))
	case 8:
		b = l.query(append(b, "echo request"...))
	case 13:
		b = l.query(append(b, "time stamp query"...))
	case 14:
		b = l.query(append(b, "time stamp reply"...))
	case 3:
		b = l.unreachable4(b, p)
	case 5:
		b = append(b, "redirect"...)
		if gateway, ok := netip.AddrFromSlice(p[min(4, len(p)):min(8, len(p))]); ok {
			b = l.Names.appendAddr(append(b, " to "...), gateway)
		}
	case 11:
		b = append(b, word(h.ICMPCode, "time exceeded in-transit", "ip reassembly time exceeded")...)
	case 12:
		b = append(b, "parameter problem"...)
	default:
		b = fmt.Appendf(b, "type-#%d", h.ICMPType)
	}
	b = fmt.Appendf(b, ", length %d", length)
	switch sum.state {
	case incorrect:
		b = fmt.Appendf(b, " (wrong icmp cksum %x (->%x)!)", sum.got, sum.want)
	case pending:
		b = append(b, " (cksum not filled in yet)"...)
	}
	return b
}

// query appends the id and sequence number of an echo and the like.
func (l *lines) query(b []byte) []byte {
	if l.headers.Has(packet.HasICMPID) {
		b = fmt.Appendf(b, ", id %d, seq %d", l.headers.ICMPID, l.headers.ICMPSeq)
	}
	return b
}

// unreachable4 appends what could not be reached: the destination of the packet
// that the message p quotes.
func (l *lines) unreachable4(b, p []byte) []byte {
	h, q := &l.headers, &l.quoted
	q.Parse(h.Payload())
	if q.Version == 0 {
		return fmt.Appendf(b, "unreachable code-%d", h.ICMPCode)
	}
	switch h.ICMPCode {
	case 0:
		return append(l.Names.appendAddr(append(b, "net "...), q.Dst), " unreachable"...)
	case 2:
		b = l.Names.appendAddr(b, q.Dst)
		return fmt.Appendf(b, " protocol %d unreachable", q.Protocol)
	case 3:
		return append(l.target(b), " unreachable"...)
	case 4:
		b = append(l.Names.appendAddr(b, q.Dst), " unreachable - need to frag"...)
		if mtu := binary.BigEndian.Uint16(p[6:8]); mtu != 0 {
			b = fmt.Appendf(b, " (mtu %d)", mtu)
		}
		return b
	case 9, 10, 13:
		return append(l.Names.appendAddr(append(b, "host "...), q.Dst), " unreachable - admin prohibited"...)
	}
	return append(l.Names.appendAddr(append(b, "host "...), q.Dst), " unreachable"...)
}

// target appends the destination of the quoted packet with its port.
func (l *lines) target(b []byte) []byte {
	q := &l.quoted
	b = l.Names.appendAddr(b, q.Dst)
	if !q.Has(packet.HasPorts) {
		return fmt.Appendf(b, " protocol %d port", q.Protocol)
	}
	b = fmt.Appendf(b, " %s port ", q.Protocol)
	return l.Names.appendPort(b, q.Protocol, q.DstPort)
}

// icmp6 appends what an ICMPv6 message says.
func (l *lines) icmp6(b []byte, sum checksum, length int) []byte {
	h := &l.headers
	if !h.Has(packet.HasICMP) {
		return append(b, "[|icmp6]"...)
	}
	b = append(sum.bracket(b, "icmp6"), "ICMP6, "...)
	p := h.Packet()[h.TransportOffset:]
	switch h.ICMPType {
	case 1:
		b = l.unreachable6(b)
	case 2:
		b = append(b, "packet too big"...)
		if len(p) >= 8 {
			b = fmt.Appendf(b, ", mtu %d", binary.BigEndian.Uint32(p[4:]))
		}
	case 3:
		b = append(b, word(h.ICMPCode, "time exceeded in-transit", "time exceeded in-reassembly")...)
	case 4:
		b = append(b, "parameter problem"...)
	case 128:
		b = l.query(append(b, "echo request"...))
	case 129:
		b = l.query(append(b, "echo reply"...))
	case 130:
		b = append(b, "multicast listener query"...)
	case 131:
		b = append(b, "multicast listener report"...)
	case 132:
		b = append(b, "multicast listener done"...)
	case 133:
		b = append(b, "router solicitation"...)
	case 134:
		b = append(b, "router advertisement"...)
	case 135:
		b = l.neighbor(append(b, "neighbor solicitation"...), ", who has ", p)
	case 136:
		b = l.neighbor(append(b, "neighbor advertisement"...), ", tgt is ", p)
	case 137:
		b = append(b, "redirect"...)
	case 143:
		b = append(b, "multicast listener report v2"...)
		if len(p) >= 8 {
			b = fmt.Appendf(b, ", %d group record(s)", binary.BigEndian.Uint16(p[6:]))
		}
	default:
		b = fmt.Appendf(b, "type-%d", h.ICMPType)
	}
	return fmt.Appendf(b, ", length %d", length)
}

// neighbor appends the address that a neighbour discovery message is about.
func (l *lines) neighbor(b []byte, about string, p []byte) []byte {
	if len(p) < 24 {
		return b
	}
	return l.Names.appendAddr(append(b, about...), netip.AddrFrom16([16]byte(p[8:])))
}

func (l *lines) unreachable6(b []byte) []byte {
	h := &l.headers
	l.quoted.Parse(h.Payload())
	b = append(b, "destination unreachable"...)
	if l.quoted.Version == 0 {
		return fmt.Appendf(b, ", code-%d", h.ICMPCode)
	}
	if h.ICMPCode == 4 {
		return l.target(append(b, ", unreachable port, "...))
	}
	b = append(append(b, ", "...), word(h.ICMPCode, "unreachable route", "unreachable prohibited", "beyond scope", "unreachable address",
		"", "failed ingress/egress policy", "reject route")...)
	return l.Names.appendAddr(append(b, ' '), l.quoted.Dst)
}

// word returns the word of a code.
func word(code uint8, words ...string) string {
	if int(code) < len(words) {
		return words[code]
	}
	return fmt.Sprintf("code-%d", code)
}
