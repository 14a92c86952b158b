package sandbox

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

// Just enough of RFC 1035 for one question and its answer.
const (
	dnsHeader = 12
	typeA     = 1
	typeAAAA  = 28
	classIN   = 1
)

// Every name has these addresses, which are kept for documentation (RFC 5737,
// RFC 3849).
var (
	answerA    = netip.MustParseAddr("192.0.2.7")
	answerAAAA = netip.MustParseAddr("2001:db8::7")
)

var errDNS = errors.New("malformed DNS message")

// appendQuery appends a query for the A, or AAAA, record of a name.
func appendQuery(b []byte, id uint16, name string, aaaa bool) []byte {
	b = binary.BigEndian.AppendUint16(b, id)
	b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0) // recursion desired; one question
	for label := range strings.SplitSeq(name, ".") {
		b = append(b, byte(len(label)))
		b = append(b, label...)
	}
	kind := uint16(typeA)
	if aaaa {
		kind = typeAAAA
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint16(b, classIN)
}

// question returns the name and the type that a message asks for, and the
// offset behind them.
func question(b []byte) (name string, kind uint16, end int, err error) {
	if len(b) < dnsHeader || binary.BigEndian.Uint16(b[4:]) != 1 {
		return "", 0, 0, errDNS
	}
	var labels []string
	for end = dnsHeader; end < len(b); {
		n := int(b[end])
		end++
		if n == 0 {
			if end+4 > len(b) {
				break
			}
			return strings.Join(labels, "."), binary.BigEndian.Uint16(b[end:]), end + 4, nil
		}
		if n > 63 || end+n > len(b) {
			break
		}
		labels = append(labels, string(b[end:end+n]))
		end += n
	}
	return "", 0, 0, errDNS
}

// respond returns the response to a query.
func respond(query []byte) (response []byte, name string, err error) {
	name, kind, end, err := question(query)
	if err != nil {
		return nil, "", err
	}
	addr := answerA
	if kind == typeAAAA {
		addr = answerAAAA
	}
	b := append([]byte(nil), query[:end]...)
	b[2], b[3] = 0x81, 0x80                    // a response; recursion available
	b[7] = 1                                   // one answer
	b = append(b, 0xc0, dnsHeader)             // for the name of the question
	b = binary.BigEndian.AppendUint16(b, kind) // type
	b = binary.BigEndian.AppendUint16(b, 1)    // class
	b = binary.BigEndian.AppendUint32(b, 60)   // time to live, seconds
	data := addr.AsSlice()
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...), name, nil
}

// answerOf returns the address that a response has for a name.
func answerOf(b []byte, name string) (netip.Addr, error) {
	asked, _, end, err := question(b)
	if err != nil || asked != name || b[2]&0x80 == 0 || b[7] != 1 || len(b) < end+12 {
		return netip.Addr{}, errDNS
	}
	addr, ok := netip.AddrFromSlice(b[end+12:])
	if !ok || int(binary.BigEndian.Uint16(b[end+10:])) != len(b)-end-12 {
		return netip.Addr{}, errDNS
	}
	return addr, nil
}
