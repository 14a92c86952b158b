package main

import (
	"encoding/binary"
	"fmt"

	"ipq/packet"
)

// tcp appends what a TCP header says.
func (l *lines) tcp(b []byte, sum checksum) []byte {
	h := &l.headers
	if !h.Has(packet.HasTCP) {
		return append(b, "[|tcp]"...)
	}
	b = appendTCPFlags(append(b, "Flags ["...), h.Flags)
	b = append(b, ']')
	switch sum.state {
	case correct:
		b = fmt.Appendf(b, ", cksum 0x%04x (correct)", sum.got)
	case incorrect:
		b = fmt.Appendf(b, ", cksum 0x%04x (incorrect -> 0x%04x)", sum.got, sum.want)
	case pending:
		b = fmt.Appendf(b, ", cksum 0x%04x (not filled in yet)", sum.got)
	}
	header := int(h.Packet()[h.TransportOffset+12]>>4) * 4 // which a copy range may have cut
	length := h.Length - h.TransportOffset - header
	if length > 0 {
		b = fmt.Appendf(b, ", seq %d:%d", h.Seq, h.Seq+uint32(length))
	} else if h.Flags&(packet.SYN|packet.FIN|packet.RST) != 0 {
		b = fmt.Appendf(b, ", seq %d", h.Seq)
	}
	if h.Flags&packet.ACK != 0 {
		b = fmt.Appendf(b, ", ack %d", h.Ack)
	}
	b = fmt.Appendf(b, ", win %d", h.Window)
	if h.Flags&packet.URG != 0 {
		b = fmt.Appendf(b, ", urg %d", h.Urgent)
	}
	if h.Faults&packet.FaultTransport != 0 {
		return append(b, ", bad header length"...)
	}
	if o := h.TCPOptions(); len(o) != 0 {
		b = appendTCPOptions(append(b, ", options ["...), o)
		b = append(b, ']')
	}
	return fmt.Appendf(b, ", length %d", max(length, 0))
}

// appendTCPFlags appends a letter for each flag; a dot is ACK.
func appendTCPFlags(b []byte, f packet.TCPFlags) []byte {
	if f == 0 {
		return append(b, "none"...)
	}
	for i, c := range "FSRP.UEWe" {
		if f&(1<<i) != 0 {
			b = append(b, byte(c))
		}
	}
	return b
}

// appendTCPOptions appends the options of a TCP header, in words. Each has the
// length that it must have, or is the last one shown.
func appendTCPOptions(b, options []byte) []byte {
	for at := 0; at < len(options); {
		if at > 0 {
			b = append(b, ',')
		}
		kind := options[at]
		if kind == 0 {
			return append(b, "eol"...)
		}
		if kind == 1 {
			b = append(b, "nop"...)
			at++
			continue
		}
		if at+1 >= len(options) || options[at+1] < 2 || at+int(options[at+1]) > len(options) {
			return fmt.Appendf(b, "[bad length of option %d]", kind)
		}
		data := options[at+2 : at+int(options[at+1])]
		at += 2 + len(data)
		b = appendTCPOption(b, kind, data)
	}
	return b
}

func appendTCPOption(b []byte, kind byte, data []byte) []byte {
	switch {
	case kind == 2 && len(data) == 2:
		return fmt.Appendf(b, "mss %d", binary.BigEndian.Uint16(data))
	case kind == 3 && len(data) == 1:
		return fmt.Appendf(b, "wscale %d", data[0])
	case kind == 4 && len(data) == 0:
		return append(b, "sackOK"...)
	case kind == 5 && len(data)%8 == 0 && len(data) > 0:
		b = fmt.Appendf(b, "sack %d ", len(data)/8)
		for ; len(data) > 0; data = data[8:] {
			b = fmt.Appendf(b, "{%d:%d}", binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:]))
		}
		return b
	case kind == 8 && len(data) == 8:
		return fmt.Appendf(b, "TS val %d ecr %d", binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:]))
	case kind == 28 && len(data) == 2:
		return fmt.Appendf(b, "user timeout %d", binary.BigEndian.Uint16(data))
	case kind == 30:
		return fmt.Appendf(b, "mptcp %d", 2+len(data))
	case kind == 34 && len(data) == 0:
		return append(b, "tfo cookiereq"...)
	case kind == 34:
		return fmt.Appendf(b, "tfo cookie %x", data)
	}
	if len(data) == 0 {
		return fmt.Appendf(b, "unknown-%d", kind)
	}
	return fmt.Appendf(b, "unknown-%d 0x%x", kind, data)
}
