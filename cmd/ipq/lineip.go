package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"ipq/packet"
)

// ip4 appends an IPv4 packet; with -v its header comes first, on a line of its
// own.
func (l *lines) ip4(b []byte, e *event) []byte {
	h := &l.headers
	b = l.missing(append(b, "IP "...), e)
	right := l.verify(e)
	if l.Verbose {
		b = fmt.Appendf(b, "(tos %#x%s, ttl %d, id %d, offset %d, flags [%s], proto %s (%d), length %d", h.TOS, ecn[h.TOS&3], h.TTL, h.ID,
			h.FragmentOffset, fragmentFlags(h), protocolTitle(h.Packet()[9]), h.Packet()[9], h.Length)
		if o := h.IPOptions(); len(o) != 0 {
			b = append(b, ", options ("...)
			b = append(appendIPOptions(b, o), ')')
		}
		if got := h.Packet()[10:12]; right != nil && !bytes.Equal(got, right[10:12]) {
			b = fmt.Appendf(b, ", bad cksum %x (->%x)!", binary.BigEndian.Uint16(got), binary.BigEndian.Uint16(right[10:]))
		}
		b = append(b, ")\n    "...)
	}
	return l.transport(b, right, e)
}

// ip6 appends an IPv6 packet; with -v what its header says comes first.
func (l *lines) ip6(b []byte, e *event) []byte {
	h := &l.headers
	b = l.missing(append(b, "IP6 "...), e)
	right := l.verify(e)
	if l.Verbose {
		b = append(b, '(')
		if h.TOS != 0 {
			b = fmt.Appendf(b, "class %#02x, ", h.TOS)
		}
		if h.FlowLabel != 0 {
			b = fmt.Appendf(b, "flowlabel %#05x, ", h.FlowLabel)
		}
		next := h.Packet()[6]
		b = fmt.Appendf(b, "hlim %d, next-header %s (%d) payload length: %d) ", h.TTL, protocolTitle(next), next, h.Length-40)
	}
	return l.transport(b, right, e)
}

// missing says that the packet states more bytes than were on the wire.
func (l *lines) missing(b []byte, e *event) []byte {
	if n := l.headers.Length - max(e.Length, len(e.Payload)); n > 0 {
		return fmt.Appendf(b, "truncated-ip - %d bytes missing! ", n)
	}
	return b
}

// verify returns the packet as it would be with true checksums, if -v asks for
// that and the packet is all there. A tunnel's own is true when the one inside
// is filled in.
func (l *lines) verify(e *event) []byte {
	if !l.Verbose {
		return nil
	}
	l.scratch = append(l.scratch[:0], e.Payload...)
	if e.Pending && pendingInside(l.scratch) && packet.CompleteChecksum(l.scratch) != nil {
		return nil
	}
	if packet.UpdateChecksums(l.scratch) != nil {
		return nil
	}
	return l.scratch
}

// transport appends the addresses and what follows the IP headers.
func (l *lines) transport(b, right []byte, e *event) []byte {
	h := &l.headers
	b = l.addresses(b)
	length := max(h.PayloadEnd, h.Length) - h.TransportOffset
	switch {
	case h.Faults&packet.FaultHeader != 0:
		return fmt.Appendf(b, "bad header length, length %d", e.Length)
	case h.IsFragment():
		b = fmt.Appendf(b, "frag (%d|%d) ", h.FragmentOffset, length)
		if h.FragmentOffset != 0 {
			return append(b, h.Protocol.String()...)
		}
		right = nil // the checksum covers the other fragments, too
	}
	if h.TransportOffset == len(h.Packet()) && length > 0 {
		return fmt.Appendf(b, "[|%s]", h.Protocol)
	}
	sum := l.checksum(right, e)
	switch h.Protocol {
	case packet.TCP:
		return l.tcp(b, sum)
	case packet.UDP:
		return l.udp(b, sum)
	case packet.ICMP:
		return l.icmp(b, sum, length)
	case packet.ICMPv6:
		return l.icmp6(b, sum, length)
	case 59: // IPv6: no next header
		return append(b, "no next header"...)
	}
	return fmt.Appendf(b, "%s, length %d", title(h.Protocol), length)
}

// checksum is what -v says about the transport checksum.
type checksum struct {
	state     checksumState
	got, want uint16
}

type checksumState int

const (
	unchecked checksumState = iota // not asked for, or not all there
	correct
	incorrect
	absent  // UDP over IPv4 may leave it out
	pending // the hardware is to fill it in
)

// checksum compares the transport checksum with that of right, the packet with
// true checksums.
func (l *lines) checksum(right []byte, e *event) checksum {
	h := &l.headers
	if right == nil || !h.Has(packet.HasChecksum) {
		return checksum{}
	}
	l.quoted.Parse(right)
	c := checksum{got: h.Checksum, want: l.quoted.Checksum}
	switch {
	case e.Pending && !pendingInside(h.Packet()):
		c.state = pending
	case h.Protocol == packet.UDP && c.got == 0 && c.want == 0:
		c.state = absent
	case c.got == c.want:
		c.state = correct
	default:
		c.state = incorrect
	}
	return c
}

// pendingInside reports whether the checksum that is not filled in yet is that
// of a packet in the tunnel that b belongs to.
func pendingInside(b []byte) bool {
	within, err := packet.PendingChecksum(b)
	return within > 0 || err != nil
}

// bracket appends the checksum in the form of UDP and ICMPv6.
func (c checksum) bracket(b []byte, name string) []byte {
	switch c.state {
	case correct:
		return fmt.Appendf(b, "[%s sum ok] ", name)
	case incorrect:
		return fmt.Appendf(b, "[bad %s cksum 0x%04x -> 0x%04x!] ", name, c.got, c.want)
	case absent:
		return append(b, "[no cksum] "...)
	case pending:
		return fmt.Appendf(b, "[%s cksum not filled in yet] ", name)
	}
	return b
}

var ecn = [4]string{"", ",ECT(1)", ",ECT(0)", ",CE"}

func fragmentFlags(h *packet.Headers) string {
	switch {
	case h.MoreFragments && h.DontFragment:
		return "+, DF"
	case h.MoreFragments:
		return "+"
	case h.DontFragment:
		return "DF"
	}
	return "none"
}

// protocolTitle is the name of a protocol number as tcpdump's -v has it.
func protocolTitle(n byte) string {
	switch n {
	case 0:
		return "Options"
	case 43:
		return "Routing"
	case 44:
		return "Fragment"
	case 59:
		return "none"
	case 60:
		return "DSTOPT"
	case 58:
		return "ICMPv6"
	}
	return strings.ToUpper(packet.Protocol(n).String())
}

// title is the name of a protocol at the start of its part of the line.
func title(p packet.Protocol) string {
	if name := p.String(); name[0] > '9' {
		return strings.ToUpper(name)
	}
	return fmt.Sprintf("ip-proto-%d", p)
}

var ipOptions = map[byte]string{0: "EOL", 1: "NOP", 7: "RR", 68: "timestamp", 130: "security", 131: "LSRR", 137: "SSRR", 148: "RA"}

// appendIPOptions appends the names of IPv4 options.
func appendIPOptions(b, options []byte) []byte {
	for at := 0; at < len(options); {
		if at > 0 {
			b = append(b, ',')
		}
		kind, size := options[at], 1
		if kind > 1 {
			if at+1 >= len(options) || options[at+1] < 2 || at+int(options[at+1]) > len(options) {
				return fmt.Appendf(b, "[bad length of option %d]", kind)
			}
			size = int(options[at+1])
		}
		if name, ok := ipOptions[kind]; ok {
			b = append(b, name...)
		} else {
			b = fmt.Appendf(b, "unknown %d", kind)
		}
		if kind == 0 {
			break
		}
		at += size
	}
	return b
}
