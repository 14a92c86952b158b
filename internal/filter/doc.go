// Package filter is the language in which a person says which packets are meant: that of tcpdump, its first part.
//
//	tcp port 80 or 443
//	not (src net 10.0.0.0/8 and udp dst port 53)
//	host 192.0.2.1 and icmp
//
// # The language
//
//	ip, ip6, tcp, udp, icmp, icmp6          the packet is of that kind; icmp is IPv4, icmp6 is IPv6
//	[ip|ip6] [src|dst] host ADDRESS         the address is the source or the destination
//	[ip|ip6] [src|dst] net NETWORK          the same for 10.0.0.0/8, 192.168.1 (three bytes of it), fd00::/8
//	[tcp|udp] [src|dst] port NUMBER         of TCP, UDP or SCTP when not said
//	[tcp|udp] [src|dst] portrange A-B       both ends included
//	not X, !X                               binds tightest
//	X and Y, X && Y, X or Y, X || Y         one after the other from the left: neither binds tighter
//	( X )
//
// Instead of "src" and "dst" stands also "src or dst", which is what nothing means, and "src and dst". A value may stand
// where a test is expected, and has the words of the last one that had any: "tcp dst port 80 or 443", "port (80 or 443)",
// "not host 10.0.0.1 and 10.0.0.2". The empty filter is every packet. A filter that no packet can match is an error.
//
// # What it says about odd packets
//
// As in tcpdump, a fragment other than the first has no ports, so "port 80" does not match it and "not port 80" does; it
// is still of its protocol, "tcp". A packet whose headers were cut off by a copy range is what is left of it: no ports that
// are not there, no protocol behind an extension header that is not there.
//
// Unlike in tcpdump, the protocol is the one behind IPv6's extension headers. As in tcpdump, and for the kernel's rules, an
// authentication header is a protocol: nothing is looked at behind it.
//
// # Rules
//
// What the kernel's rules can decide is pushed down to them: [Filter.Rules]. They may queue more than the filter wants,
// never less, so a program that asks [Filter.Match] about each queued packet gets exactly what the filter says.
// They look at whole packets, even when the program gets a part.
package filter
