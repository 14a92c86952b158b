package main

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"ipq/packet"
)

// records prints events as NDJSON: one object on each line, with what is absent
// left out.
//
//	{"time":"2026-11-23T07:04:36.000000000Z","queue":60000,"id":1,"hook":"output",
//	 "out":"eth0","family":"ip","proto":"udp","src":"10.7.0.1","sport":40000,
//	 "dst":"10.7.0.2","dport":53,"length":62,"verdict":"accept"}
//
// (without the line breaks). A loss is a row with "event":"loss", and the last
// row has "event":"end"; packets have no "event", and these have no "verdict".
type records struct {
	Hex bool // -x: "hex" is what was copied of the packet

	headers packet.Headers
}

const stampJSON = "2006-01-02T15:04:05.000000000Z07:00"

// packet appends the record of one packet.
func (r *records) packet(b []byte, e *event) []byte {
	h := &r.headers
	h.Parse(e.Payload)
	b = e.Time.UTC().AppendFormat(append(b, `{"time":"`...), stampJSON)
	b = appendNumber(append(b, '"'), "queue", uint64(e.Queue))
	b = appendNumber(b, "id", uint64(e.ID))
	b = appendString(b, "hook", e.Hook.String())
	b = appendString(b, "in", e.In)
	b = appendString(b, "out", e.Out)
	b = appendString(b, "family", e.Family.String())
	if h.Version != 0 {
		b = appendString(b, "proto", h.Protocol.String())
		b = appendAddress(b, "src", "sport", h.Src.String(), h.SrcPort, h.Has(packet.HasPorts))
		b = appendAddress(b, "dst", "dport", h.Dst.String(), h.DstPort, h.Has(packet.HasPorts))
	}
	b = appendNumber(b, "length", uint64(e.Length))
	if e.Mark != 0 {
		b = appendNumber(b, "mark", uint64(e.Mark))
	}
	b = appendString(b, "verdict", e.Verdict.String())
	if e.Modified {
		b = append(b, `,"modified":true`...)
	}
	if r.Hex {
		b = append(hex.AppendEncode(append(b, `,"hex":"`...), e.Payload), '"')
	}
	return append(b, "}\n"...)
}

// loss appends the record of packets that were lost.
func (r *records) loss(b []byte, l *loss) []byte {
	b = l.Time.UTC().AppendFormat(append(b, `{"event":"loss","time":"`...), stampJSON)
	b = appendNumber(append(b, '"'), "lost", l.lost())
	for _, c := range [...]struct {
		key string
		n   uint64
	}{
		{"queue_dropped", l.QueueDropped}, {"user_dropped", l.UserDropped}, {"flushed", l.Flushed},
		{"unseen", l.Unseen}, {"stopped", l.Stopped}, {"hidden", l.Hidden},
	} {
		if c.n > 0 {
			b = appendNumber(b, c.key, c.n)
		}
	}
	return append(b, "}\n"...)
}

// end appends the last record. What was lost is left out when it is not known.
func (r *records) end(b []byte, at time.Time, t tally) []byte {
	b = at.UTC().AppendFormat(append(b, `{"event":"end","time":"`...), stampJSON)
	b = appendNumber(append(b, '"'), "packets", t.packets())
	b = appendNumber(b, "accepted", t.Accepted)
	b = appendNumber(b, "dropped", t.Dropped)
	b = appendNumber(b, "modified", t.Modified)
	if !t.LostUnknown {
		b = appendNumber(b, "lost", t.Lost)
	}
	return append(b, "}\n"...)
}

// appendAddress appends an address and its port.
func appendAddress(b []byte, key, portKey, address string, port uint16, has bool) []byte {
	b = appendString(b, key, address)
	if has {
		b = appendNumber(b, portKey, uint64(port))
	}
	return b
}

func appendNumber(b []byte, key string, v uint64) []byte {
	b = append(append(append(b, `,"`...), key...), `":`...)
	return strconv.AppendUint(b, v, 10)
}

// appendString appends a member in ASCII alone, so that it is safe on a
// terminal, too. An empty one is left out.
func appendString(b []byte, key, v string) []byte {
	if v == "" {
		return b
	}
	b = append(append(append(b, `,"`...), key...), `":"`...)
	for _, c := range v {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c >= ' ' && c < utf8.RuneSelf-1:
			b = append(b, byte(c))
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			b = appendEscape(appendEscape(b, high), low)
		default:
			b = appendEscape(b, c)
		}
	}
	return append(b, '"')
}

func appendEscape(b []byte, c rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[c>>12&15], digits[c>>8&15], digits[c>>4&15], digits[c&15])
}
