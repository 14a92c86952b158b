package main

import (
	"fmt"

	"ipq/packet"
)

// udp appends what a UDP header says, and what is in a DNS message.
func (l *lines) udp(b []byte, sum checksum) []byte {
	h := &l.headers
	if !h.Has(packet.HasUDP) {
		return append(b, "[|udp]"...)
	}
	if h.UDPLength < 8 {
		return fmt.Appendf(b, "UDP, bad length %d", h.UDPLength)
	}
	length := int(h.UDPLength) - 8
	b = sum.bracket(b, "udp")
	if room := h.Length - h.PayloadOffset; !h.IsFragment() && length > room {
		return fmt.Appendf(b, "UDP, bad length %d > %d", length, room)
	}
	if h.SrcPort == 53 || h.DstPort == 53 {
		return appendDNS(b, h.Payload(), length)
	}
	return fmt.Appendf(b, "UDP, length %d", length)
}
