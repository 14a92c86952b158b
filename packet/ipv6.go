package packet

import "encoding/binary"

// IPv6, RFC 8200:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+---------------+---------------------------------------+
//	|Version| Traffic Class |               Flow Label              |
//	+-------+---------------+-------+---------------+---------------+
//	|         Payload Length        |  Next Header  |   Hop Limit   |
//	+-------------------------------+---------------+---------------+
//	|                    Source Address (16 bytes)                  |
//	+---------------------------------------------------------------+
//	|                 Destination Address (16 bytes)                |
//	+---------------------------------------------------------------+
const (
	ip6Length     = 4
	ip6NextHeader = 6
	ip6HopLimit   = 7
	ip6Src        = 8
	ip6Dst        = 24
	ip6Size       = 40
)

// Routing header types (IANA) whose last stop is known.
const (
	routeSource  = 0 // RFC 2460, deprecated by RFC 5095
	routeMobile  = 2 // RFC 6275
	routeSegment = 4 // RFC 8754
)

const (
	optionPad1        = 0
	optionJumbo       = 0xc2 // RFC 2675
	optionHomeAddress = 0xc9 // RFC 6275
)

// nowhere is the offset of an address that cannot be known.
const nowhere = -1

// extensions walks from the first extension header to the transport header. Every header has at least 8 bytes, so the
// packet's length bounds the walk.
func (l *layout) extensions(b []byte) {
	for {
		if l.version == 4 && l.protocol != authHeader {
			return
		}
		at, size := l.transport, 0
		switch l.protocol {
		case hopByHop, routing, destination, authHeader:
			if at+2 > l.end {
				l.cut()
				return
			}
			size = 8 + 8*int(b[at+1])
			if l.protocol == authHeader {
				size = 8 + 4*int(b[at+1]) // RFC 4302: in units of 4 bytes, minus 2
			}
		case fragment:
			size = 8
		default:
			return
		}
		if at+size > l.end {
			l.cut()
			return
		}
		header := b[at : at+size]
		switch l.protocol {
		case hopByHop:
			if l.unstated {
				l.jumbo(header, len(b))
			}
		case routing:
			l.route(header, at)
		case destination:
			// The receiver puts the home address in the place of the source before the transport sees the packet.
			if home := findOption(header, optionHomeAddress, 16); home != 0 {
				l.srcAt = at + home
			}
		case fragment:
			field := binary.BigEndian.Uint16(header[2:])
			l.offset = field &^ 7
			l.more = l.more || field&1 != 0
			l.id = binary.BigEndian.Uint32(header[4:])
		}
		last := l.protocol == fragment && l.offset != 0
		l.protocol = Protocol(header[0])
		l.transport = at + size
		if last {
			return
		}
	}
}

// jumbo takes the length from a hop-by-hop header. A jumbogram cannot be returned to a queue, but its start can be read.
func (l *layout) jumbo(header []byte, have int) {
	const most = 1 << 30 // an int has 32 bits on some machines
	if at := findOption(header, optionJumbo, 4); at != 0 {
		if n := binary.BigEndian.Uint32(header[at:]); n > 0xffff {
			l.state(ip6Size+int(min(n, most)), have)
			l.unstated = true
		}
	}
}

// route finds the last stop of a routing header that has stops left; the pseudo-header is about that one (RFC 8200, 8.1).
func (l *layout) route(header []byte, at int) {
	if header[3] == 0 {
		return
	}
	addresses := len(header) - 8
	l.dstAt = nowhere
	switch header[2] {
	case routeSource, routeMobile:
		if addresses >= 16 && addresses%16 == 0 {
			l.dstAt = at + len(header) - 16
		}
	case routeSegment:
		if addresses >= 16 {
			l.dstAt = at + 8 // the segment list runs backwards
		}
	}
}

// findOption returns the offset in header of the data of an option of size bytes, or 0.
func findOption(header []byte, kind byte, size int) int {
	for at := 2; at < len(header); {
		if header[at] == optionPad1 {
			at++
			continue
		}
		if at+1 >= len(header) {
			break
		}
		n := 2 + int(header[at+1])
		if at+n > len(header) {
			break
		}
		if header[at] == kind && n == 2+size {
			return at + 2
		}
		at += n
	}
	return 0
}
