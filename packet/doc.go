// Package packet reads and edits IP packets in place and keeps their checksums true.
//
// A packet is a byte slice that starts at its IPv4 or IPv6 header, as a queue delivers it. Nothing here allocates, except
// error values, and SetPayload when the slice has no room to grow; nothing reads or writes outside the slice, except that
// SetPayload grows into its capacity.
//
//	var h packet.Headers // one per goroutine, used again for every packet
//	h.Parse(b)
//	if h.Protocol == packet.UDP && h.DstPort == 53 {
//		err := h.SetDst(netip.MustParseAddr("192.0.2.53")) // b and its checksums are changed in place
//	}
//
// # Two ways to a true checksum
//
// The setters of Headers update a checksum incrementally (RFC 1624): they read nothing but the changed field, they work on
// fragments and on packets cut by a copy range, and a packet that arrived with a wrong checksum leaves with a wrong one, as
// it should.
//
// UpdateChecksums and SetPayload compute from all the bytes. They need the whole packet, and they make any packet look valid.
//
// # Checksums that are not filled in yet
//
// A packet that this machine made, or joined from several, may be queued before its TCP or UDP checksum exists: with the
// queue's GSO flag the kernel leaves it to the hardware (CHECKSUM_PARTIAL) and says so beside the packet. The field then
// holds only the sum of the pseudo-header, so an incremental update of it is meaningless. The kernel also forgets that the
// checksum was pending as soon as a changed payload is returned. Call UpdateChecksums once on such a packet, before the
// edits or after them: either way the result is true. The ipq package does so for every payload that it sends.
//
// In a tunnel (VXLAN, Geneve, GRE, IPIP, 6in4) the pending checksum is as a rule that of the packet inside, and the kernel has
// computed the tunnel's own, if it has one, for the complete packet. PendingChecksum says where it is, CompleteChecksum fills
// it in; the ipq package does this too.
//
// # Fragments
//
// Nothing is reassembled and nothing is guessed. The first fragment (offset 0) gives its transport header as far as it is
// there. A later one gives addresses, Protocol, offset and id, but no ports and no other transport field: FragmentOffset is
// not 0, Has(HasPorts) is false, and its data start at TransportOffset. In a later IPv6 fragment Protocol is what the fragment
// header names, which may be another extension header. An IPv6 packet with a fragment header that says offset 0 and no more
// fragments is whole (RFC 6946).
//
// A transport checksum covers the datagram that the fragments make together, so it cannot be computed from one of them:
// UpdateChecksums leaves it alone. The setters keep it true in the first fragment, which holds it. To change the addresses of
// a fragmented datagram, change every fragment. SetPayload refuses fragments.
//
// # What is understood
//
// IPv4 with options, IPv6 with the extension headers that the Linux kernel walks (hop-by-hop, routing, destination options,
// fragment, authentication); TCP, UDP, UDP-Lite, ICMP, ICMPv6, IGMP and SCTP. Checksums of other protocols are left as they
// are. A tunnelled packet is payload, but for CompleteChecksum. An edit of an authenticated packet (AH) breaks its integrity
// check, which only the holder of the key can mend.
package packet
