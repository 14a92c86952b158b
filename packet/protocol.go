package packet

import "strconv"

// Protocol is an IP protocol number, or the last next header value of an IPv6 packet.
type Protocol uint8

// The protocols that this package reads.
const (
	ICMP    Protocol = 1   // RFC 792
	IGMP    Protocol = 2   // RFC 3376
	TCP     Protocol = 6   // RFC 9293
	UDP     Protocol = 17  // RFC 768
	ICMPv6  Protocol = 58  // RFC 4443
	SCTP    Protocol = 132 // RFC 9260
	UDPLite Protocol = 136 // RFC 3828
)

// The extension headers that lead to the transport header, the same ones as ipv6_ext_hdr() in the kernel.
const (
	hopByHop    Protocol = 0
	routing     Protocol = 43
	fragment    Protocol = 44
	authHeader  Protocol = 51
	destination Protocol = 60
)

// String returns the lower-case name that /etc/protocols and tcpdump use, or the number.
func (p Protocol) String() string {
	switch p {
	case ICMP:
		return "icmp"
	case IGMP:
		return "igmp"
	case 4:
		return "ipip"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case 33:
		return "dccp"
	case 41:
		return "ipv6"
	case 47:
		return "gre"
	case 50:
		return "esp"
	case authHeader:
		return "ah"
	case ICMPv6:
		return "icmp6"
	case 89:
		return "ospf"
	case 103:
		return "pim"
	case 112:
		return "vrrp"
	case SCTP:
		return "sctp"
	case UDPLite:
		return "udplite"
	}
	return strconv.Itoa(int(p))
}

// TCPFlags is the set of TCP control bits, in the order of the header.
type TCPFlags uint16

// The TCP control bits.
const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE // accurate ECN, formerly NS
)
