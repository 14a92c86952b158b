package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
)

// appendDNS appends a DNS message as tcpdump does: the id and flags, the
// question of a query, the answers of a reply, and its length.
//
//	4660+ A? example.test. (30)
//	4660 1/0/0 A 192.0.2.7 (46)
//
// The message is a stranger's: names are escaped, and what does not parse ends
// in [|domain].
func appendDNS(b, msg []byte, length int) []byte {
	if len(msg) < 12 {
		return fmt.Appendf(b, "[|domain] (%d)", length)
	}
	d := dnsReader{msg: msg, at: 12}
	id, flags := binary.BigEndian.Uint16(msg), binary.BigEndian.Uint16(msg[2:])
	questions, answers := int(binary.BigEndian.Uint16(msg[4:])), int(binary.BigEndian.Uint16(msg[6:]))
	authorities, additions := binary.BigEndian.Uint16(msg[8:]), binary.BigEndian.Uint16(msg[10:])
	op, code := flags>>11&15, flags&15
	b = append(strconv.AppendUint(b, uint64(id), 10), name16(dnsOps[:], op, "op")...)
	if flags&dnsResponse == 0 {
		b = appendIf(b, flags&dnsRecursionDesired != 0, "+")
		b = appendIf(b, flags&dnsCheckingDisabled != 0, "%")
		b = appendCount(b, answers != 0, answers, "a")
		b = appendCount(b, questions != 1, questions, "q")
		b = appendCount(b, authorities != 0, int(authorities), "n")
		b = appendCount(b, additions != 0, int(additions), "au")
		if questions > 0 {
			b = d.question(b)
		}
		return d.end(b, length)
	}
	b = append(b, name16(dnsCodes[:], code, "rcode")...)
	b = appendIf(b, flags&dnsAuthoritative != 0, "*")
	b = appendIf(b, flags&dnsRecursionAvailable == 0, "-")
	b = appendIf(b, flags&dnsTruncated != 0, "|")
	b = appendIf(b, flags&dnsAuthentic != 0, "$")
	b = appendCount(b, questions != 1, questions, "q")
	b = fmt.Appendf(b, " %d/%d/%d", answers, authorities, additions)
	for range questions {
		if d.question(nil); d.bad {
			break
		}
	}
	for i := 0; i < answers && !d.bad; i++ {
		b = appendIf(b, i > 0, ",")
		if i == shownAnswers {
			b = append(b, " ..."...)
			break
		}
		b = d.answer(b)
	}
	return d.end(b, length)
}

// shownAnswers bounds what a stranger can make a line to be.
const shownAnswers = 16

const (
	dnsResponse           = 0x8000
	dnsAuthoritative      = 0x0400
	dnsTruncated          = 0x0200
	dnsRecursionDesired   = 0x0100
	dnsRecursionAvailable = 0x0080
	dnsAuthentic          = 0x0020
	dnsCheckingDisabled   = 0x0010
)

var (
	dnsOps   = [...]string{"", " inv_q", " stat", " op3", " notify", " update"}
	dnsCodes = [...]string{"", " FormErr", " ServFail", " NXDomain", " NotImp", " Refused", " YXDomain", " YXRRSet", " NXRRSet", " NotAuth", " NotZone"}
	dnsTypes = map[uint16]string{1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
		41: "OPT", 43: "DS", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 64: "SVCB", 65: "HTTPS", 252: "AXFR", 255: "ANY", 257: "CAA"}
)

func name16(names []string, n uint16, kind string) string {
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf(" %s%d", kind, n)
}

func appendIf(b []byte, yes bool, s string) []byte {
	if yes {
		b = append(b, s...)
	}
	return b
}

func appendCount(b []byte, yes bool, n int, unit string) []byte {
	if yes {
		b = fmt.Appendf(b, " [%d%s]", n, unit)
	}
	return b
}

// dnsReader reads a message from its start. After the first thing that is not
// there, bad is set and nothing more is read.
type dnsReader struct {
	msg []byte
	at  int
	bad bool
}

// end appends the length of the message.
func (d *dnsReader) end(b []byte, length int) []byte {
	b = appendIf(b, d.bad, " [|domain]")
	return fmt.Appendf(b, " (%d)", length)
}

// take returns the next n bytes; nil and bad when they are not there.
func (d *dnsReader) take(n int) []byte {
	if d.bad || n > len(d.msg)-d.at {
		d.bad = true
		return nil
	}
	d.at += n
	return d.msg[d.at-n : d.at]
}

// question appends " TYPE? NAME".
func (d *dnsReader) question(b []byte) []byte {
	name := d.name(nil)
	p := d.take(4)
	if p == nil {
		return b
	}
	b = appendType(append(b, ' '), binary.BigEndian.Uint16(p))
	if class := binary.BigEndian.Uint16(p[2:]); class != 1 {
		b = fmt.Appendf(b, " (Class %d)", class)
	}
	return append(append(b, "? "...), name...)
}

// answer appends " TYPE DATA".
func (d *dnsReader) answer(b []byte) []byte {
	d.name(nil)
	p := d.take(10)
	if p == nil {
		return b
	}
	kind, size := binary.BigEndian.Uint16(p), int(binary.BigEndian.Uint16(p[8:]))
	b = appendType(append(b, ' '), kind)
	start := d.at
	data := d.take(size)
	if data == nil {
		return b
	}
	switch kind {
	case 1, 28:
		if a, ok := netip.AddrFromSlice(data); ok {
			b = a.AppendTo(append(b, ' '))
		}
	case 2, 5, 12:
		inner := dnsReader{msg: d.msg[:d.at], at: start}
		b = inner.name(append(b, ' '))
		d.bad = d.bad || inner.bad
	}
	return b
}

func appendType(b []byte, t uint16) []byte {
	if name, ok := dnsTypes[t]; ok {
		return append(b, name...)
	}
	return fmt.Appendf(b, "Type%d", t)
}

// name appends a name, escaped, with its final dot. A name has at most 255
// bytes, and a pointer must lead back, so this ends.
func (d *dnsReader) name(b []byte) []byte {
	const most = 255
	limit, left, jumped, empty := d.at, most, false, true
	after := 0
	for !d.bad {
		p := d.take(1)
		if p == nil {
			return b
		}
		switch n := int(p[0]); {
		case n == 0:
			b = appendIf(b, empty, ".")
			if jumped {
				d.at = after
			}
			return b
		case n < 64:
			label := d.take(n)
			if left -= 1 + n; label == nil || left < 0 {
				d.bad = true
				return b
			}
			b = append(appendLabel(b, label), '.')
			empty = false
		case n >= 0xc0:
			low := d.take(1)
			if low == nil {
				return b
			}
			if !jumped {
				jumped, after = true, d.at
			}
			to := n&0x3f<<8 | int(low[0])
			if to >= limit {
				d.bad = true
				return b
			}
			d.at, limit = to, to
		default:
			d.bad = true
		}
	}
	return b
}

// appendLabel appends one label in the notation of zone files: a byte that is
// not a visible ASCII character is a backslash and its number.
func appendLabel(b, label []byte) []byte {
	for _, c := range label {
		switch {
		case c == '.' || c == '\\':
			b = append(b, '\\', c)
		case c > ' ' && c < 0x7f:
			b = append(b, c)
		default:
			b = fmt.Appendf(b, `\%03d`, c)
		}
	}
	return b
}
