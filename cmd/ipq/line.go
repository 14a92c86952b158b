package main

import (
	"fmt"

	"ipq/packet"
)

// lines prints events as lines that look like tcpdump's:
//
//	12:00:01.123456 q60000 out lo IP 10.7.0.1.40000 > 10.7.0.2.53: UDP, length 34  accept mark 0x5
//
// TCP numbers are the packet's own, as with tcpdump -S: nothing is remembered
// of a flow. No byte that came from the network is printed as it is.
type lines struct {
	Names   names
	Verbose bool // -v
	Hex     bool // -x
	Stamp   stamp

	headers packet.Headers
	quoted  packet.Headers // the packet inside an ICMP error; before it is needed for that, scratch
	scratch []byte         // a copy whose checksums are computed
}

// packet appends the line of one packet, or the lines.
func (l *lines) packet(b []byte, e *event) []byte {
	b = l.Stamp.append(b, e.Time)
	b = fmt.Appendf(b, "q%d ", e.Queue)
	if e.In != "" {
		b = append(append(append(b, "in "...), printable(e.In)...), ' ')
	}
	if e.Out != "" {
		b = append(append(append(b, "out "...), printable(e.Out)...), ' ')
	}
	l.headers.Parse(e.Payload)
	switch l.headers.Version {
	case 4:
		b = l.ip4(b, e)
	case 6:
		b = l.ip6(b, e)
	default:
		b = l.notIP(b, e)
	}
	b = append(append(b, "  "...), e.Verdict.String()...)
	if e.Modified {
		b = append(b, " modified"...)
	}
	if e.Mark != 0 {
		b = fmt.Appendf(b, " mark %#x", e.Mark)
	}
	if l.Verbose {
		b = fmt.Appendf(b, " hook %s id %d", e.Hook, e.ID)
	}
	b = append(b, '\n')
	if l.Hex {
		b = appendHex(b, e.Payload)
	}
	return b
}

// loss appends the row of packets that were lost, or not shown.
func (l *lines) loss(b []byte, x *loss) []byte {
	b = l.Stamp.append(b, x.Time)
	sep := ""
	for _, c := range [...]struct {
		n    uint64
		what string
	}{
		{x.QueueDropped, "lost %s: the queue was full"},
		{x.UserDropped, "lost %s: the reader's buffer was full"},
		{x.Flushed, "lost %s or more: the kernel dropped what waited in the queue"},
		{x.Unseen, "lost sight of %s: they came too fast, or ipq did not run"},
		{x.Stopped, "lost sight of %s: ipq was stopped"},
		{x.Hidden, "did not show %s: the output is too slow"},
	} {
		if c.n > 0 {
			b = fmt.Appendf(append(b, sep...), c.what, packets(c.n))
			sep = "; "
		}
	}
	return append(b, '\n')
}

// notIP is for what has no whole IP header: too short a copy range, or a bridge.
func (l *lines) notIP(b []byte, e *event) []byte {
	switch {
	case len(e.Payload) == 0:
		return fmt.Appendf(b, "%s packet, not copied", e.Family)
	case l.headers.Faults&packet.FaultTruncated != 0:
		name := "IP"
		if e.Payload[0]>>4 == 6 {
			name = "IP6"
		}
		return fmt.Appendf(b, "%s, length %d [|%s]", name, e.Length, e.Family)
	}
	return fmt.Appendf(b, "%s packet, not IP, length %d", e.Family, e.Length)
}

// appendHex appends the packet in rows of 16 bytes.
func appendHex(b, p []byte) []byte {
	for at := 0; at < len(p); at += 16 {
		b = fmt.Appendf(b, "\t0x%04x: ", at)
		for i, c := range p[at:min(at+16, len(p))] {
			if i%2 == 0 {
				b = append(b, ' ')
			}
			b = fmt.Appendf(b, "%02x", c)
		}
		b = append(b, '\n')
	}
	return b
}

// addresses appends "A > B", with the ports if there are any.
func (l *lines) addresses(b []byte) []byte {
	h := &l.headers
	b = l.Names.appendAddr(b, h.Src)
	if h.Has(packet.HasPorts) {
		b = l.Names.appendPort(append(b, '.'), h.Protocol, h.SrcPort)
	}
	b = l.Names.appendAddr(append(b, " > "...), h.Dst)
	if h.Has(packet.HasPorts) {
		b = l.Names.appendPort(append(b, '.'), h.Protocol, h.DstPort)
	}
	return append(b, ": "...)
}
