package packet

// ICMP (RFC 792) and ICMPv6 (RFC 4443); IGMP (RFC 3376) has its type and checksum in the same places.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------+---------------+-------------------------------+
//	|      Type     |      Code     |            Checksum           |
//	+---------------+---------------+-------------------------------+
//	|     Identifier (queries)      |   Sequence Number (queries)   |
//	+-------------------------------+-------------------------------+
const (
	icmpType     = 0
	icmpCode     = 1
	icmpChecksum = 2
	icmpID       = 4
	icmpSeq      = 6
	icmpSize     = 8 // the kernel drops shorter ones
)

// icmpQuery says that a message has an identifier and a sequence number: echo, timestamp, information and address mask.
func icmpQuery(p Protocol, kind uint8) bool {
	if p == ICMPv6 {
		return kind == 128 || kind == 129
	}
	return kind == 0 || kind == 8 || kind >= 13 && kind <= 18
}
