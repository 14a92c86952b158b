package packet

// IPv4, RFC 791:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+-------------------------------+
//	|Version|  IHL  |Type of Service|          Total Length         |
//	+-------+-------+---------------+-----+-------------------------+
//	|         Identification        |0|D|M|     Fragment Offset     |
//	+---------------+---------------+-----+-------------------------+
//	|  Time to Live |    Protocol   |        Header Checksum        |
//	+---------------+---------------+-------------------------------+
//	|                        Source Address                         |
//	+---------------------------------------------------------------+
//	|                      Destination Address                      |
//	+---------------------------------------------------------------+
//	|                       Options, if IHL > 5                     |
//	+---------------------------------------------------------------+
const (
	ip4TOS      = 1
	ip4Length   = 2
	ip4ID       = 4
	ip4Fragment = 6
	ip4TTL      = 8
	ip4Protocol = 9
	ip4Checksum = 10
	ip4Src      = 12
	ip4Dst      = 16
	ip4Size     = 20 // without options

	ip4DontFragment  = 0x4000
	ip4MoreFragments = 0x2000
	ip4OffsetMask    = 0x1fff // in units of 8 bytes
)

// IPv4 options that name the way to the destination: the address in the header is only the next stop.
const (
	optionEnd         = 0
	optionNop         = 1
	optionLooseRoute  = 131
	optionStrictRoute = 137
)

// finalDst4 returns the offset of the address of the last stop: the transport's pseudo-header is about that one. Only a
// source route that has stops left moves it away from the header.
func finalDst4(header []byte) int {
	for at := ip4Size; at < len(header); {
		kind := header[at]
		if kind == optionEnd {
			break
		}
		if kind == optionNop {
			at++
			continue
		}
		if at+1 >= len(header) {
			break
		}
		n := int(header[at+1])
		if n < 2 || at+n > len(header) {
			break
		}
		if (kind == optionLooseRoute || kind == optionStrictRoute) && n >= 7 && (n-3)%4 == 0 && int(header[at+2]) <= n-3 {
			return at + n - 4
		}
		at += n
	}
	return ip4Dst
}
