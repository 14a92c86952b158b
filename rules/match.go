package rules

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Match says which packets a rule takes. All fields that are set must hold; of a list, one value must. The zero value
// takes every packet.
type Match struct {
	// Family is the version of IP; 0 is both.
	Family Family
	// Protocols lists transport protocols, which may follow IPv6's extension headers. All fragments of a packet have its
	// protocol. An authentication header counts as a protocol (51), whatever follows it.
	Protocols []Protocol
	// Src and Dst list networks; netip.PrefixFrom(a, a.BitLen()) is one address. Bits beyond the prefix are ignored.
	Src, Dst []netip.Prefix
	// SrcPorts and DstPorts list ports. A packet without ports is not taken: that is every fragment but the first, and
	// every protocol but TCP, UDP, UDP-Lite, SCTP and DCCP. Protocols narrows it further.
	SrcPorts, DstPorts []PortRange
	// ICMPTypes lists message types; of the fragments of a packet only the first has one. Protocols must be exactly ICMP or
	// exactly ICMPv6, and Family is then known.
	ICMPTypes []uint8
	// In and Out list interface names. Prerouting and Input know no outgoing interface, Output knows no incoming one.
	// An interface need not exist yet.
	In, Out []string
	// States is the connection's state; 0 is any. Connection tracking must have seen the packet: the priority must be above
	// -200 at Prerouting and at Output. Using it turns connection tracking on, and with it the reassembly of fragments.
	// Requires CONFIG_NFT_CT.
	States ConnState
	// FirstPackets takes the first so many packets of a connection, both directions together; 0 is all. A connection that
	// was there before packets were counted has no first packets. What States says holds here, too; and the kernel sets
	// net.netfilter.nf_conntrack_acct in the namespace by itself, which stays set when the rules are gone.
	FirstPackets uint32
	// Mark is compared with the packet's mark, in the bits of MarkMask. With no mask the mark is not looked at.
	Mark, MarkMask uint32
	// LoopedBack takes the copies of this host's own multicast and broadcast packets that the kernel hands back, as if they
	// had arrived, because this host listens to them itself. They are known by their sender, which is an address of this
	// host. Only at Prerouting and Input. Requires CONFIG_NFT_FIB_INET, CONFIG_NFT_FIB_IPV4 and CONFIG_NFT_FIB_IPV6.
	LoopedBack bool
	// Except lists what is not taken although all the above holds. It goes one level deep: an exception has none of its own.
	Except []Match
}

// Family is a version of IP. The numbers are those of the address families.
type Family uint8

// The families.
const (
	IPv4 Family = 2  // AF_INET
	IPv6 Family = 10 // AF_INET6
)

// String is "ip" or "ip6", and "any" for the zero value.
func (f Family) String() string {
	switch f {
	case 0:
		return "any"
	case IPv4:
		return "ip"
	case IPv6:
		return "ip6"
	}
	return fmt.Sprintf("Family(%d)", uint8(f))
}

// Protocol is the number of a transport protocol, as IANA gives it.
type Protocol uint8

// Protocols that this package has a use for. Any other number does as well.
const (
	ICMP    Protocol = 1
	TCP     Protocol = 6
	UDP     Protocol = 17
	DCCP    Protocol = 33
	ICMPv6  Protocol = 58
	SCTP    Protocol = 132
	UDPLite Protocol = 136
)

// withPorts are the protocols that begin with a source and a destination port.
var withPorts = []Protocol{TCP, UDP, DCCP, SCTP, UDPLite}

// String is nft's name of the protocol, or its number.
func (p Protocol) String() string {
	switch p {
	case ICMP:
		return "icmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case DCCP:
		return "dccp"
	case ICMPv6:
		return "ipv6-icmp"
	case SCTP:
		return "sctp"
	case UDPLite:
		return "udplite"
	}
	return fmt.Sprint(uint8(p))
}

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Port is the range of one port.
func Port(n uint16) PortRange { return PortRange{n, n} }

// String is "80", or "1000-2000".
func (r PortRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// ConnState is a set of states of a connection. The bits are nft's.
type ConnState uint32

// The states.
const (
	Invalid     ConnState = 1 << 0 // belongs to no connection and cannot begin one
	Established ConnState = 1 << 1 // packets have been seen in both directions
	Related     ConnState = 1 << 2 // begins a connection that another one announced, or reports an error about one
	New         ConnState = 1 << 3 // no answer has been seen yet
	Untracked   ConnState = 1 << 6 // a rule has exempted it from tracking
)

const allStates = Invalid | Established | Related | New | Untracked

// String lists the states with commas.
func (s ConnState) String() string {
	var names []string
	for _, n := range []struct {
		bit  ConnState
		name string
	}{{Invalid, "invalid"}, {Established, "established"}, {Related, "related"}, {New, "new"}, {Untracked, "untracked"}} {
		if s&n.bit != 0 {
			names = append(names, n.name)
		}
	}
	if rest := s &^ allStates; rest != 0 {
		names = append(names, fmt.Sprintf("%#x", uint32(rest)))
	}
	return strings.Join(names, ",")
}

// conntrackPriority is where connection tracking runs: NF_IP_PRI_CONNTRACK.
const conntrackPriority = -200

// check returns an error that says what the kernel could not do with m in the chain, or why m can never hold.
func (m Match) check(c Chain, exception bool) error {
	if m.Family != 0 && m.Family != IPv4 && m.Family != IPv6 {
		return fmt.Errorf("unknown family %d", m.Family)
	}
	for _, list := range [][]netip.Prefix{m.Src, m.Dst} {
		for _, p := range list {
			if !p.IsValid() {
				return errors.New("an address or prefix is not valid: use netip.ParsePrefix, or netip.PrefixFrom with the right length")
			}
			if p.Addr().Is4In6() {
				return fmt.Errorf("%s is an IPv4 address written as IPv6: use Unmap", p)
			}
		}
	}
	for _, list := range [][]PortRange{m.SrcPorts, m.DstPorts} {
		for _, r := range list {
			if r.Last < r.First {
				return fmt.Errorf("the port range %s ends before it begins", r)
			}
		}
	}
	if err := m.checkInterfaces(c.Hook); err != nil {
		return err
	}
	if m.States&^allStates != 0 {
		return fmt.Errorf("unknown connection state %s", m.States)
	}
	if (m.States != 0 || m.FirstPackets != 0) && (c.Hook == Prerouting || c.Hook == Output) && c.Priority <= conntrackPriority {
		return fmt.Errorf("connection tracking runs at priority %d and has not seen the packet at %d: use a higher priority", conntrackPriority, c.Priority)
	}
	if m.Mark&^m.MarkMask != 0 {
		return fmt.Errorf("the mark %#x has bits outside its mask %#x", m.Mark, m.MarkMask)
	}
	if m.LoopedBack && c.Hook != Prerouting && c.Hook != Input {
		return fmt.Errorf("looped-back packets are seen only at %s and %s", Prerouting, Input)
	}
	if len(m.ICMPTypes) != 0 && m.icmp() == 0 {
		return fmt.Errorf("ICMP types need Protocols to be %s alone or %s alone", ICMP, ICMPv6)
	}
	if len(m.ports()) == 0 && (len(m.SrcPorts) != 0 || len(m.DstPorts) != 0) {
		return fmt.Errorf("ports, but none of the protocols (%s) has any", join(m.Protocols))
	}
	if m.families() == 0 {
		return errors.New("it can never hold: the family, the addresses and the ICMP types name different versions of IP")
	}
	if exception && len(m.Except) != 0 {
		return errors.New("an exception cannot have exceptions")
	}
	for i, e := range m.Except {
		if err := e.check(c, true); err != nil {
			return fmt.Errorf("exception %d: %w", i, err)
		}
	}
	return nil
}

func (m Match) checkInterfaces(h Hook) error {
	if len(m.In) != 0 && h == Output {
		return errors.New("a packet has no incoming interface there")
	}
	if len(m.Out) != 0 && (h == Prerouting || h == Input) {
		return errors.New("a packet has no outgoing interface there")
	}
	for _, list := range [][]string{m.In, m.Out} {
		for _, name := range list {
			// The kernel's own limits, and what nft syntax could not say: quotes, wildcards.
			if name == "" || len(name) > maxInterfaceName || strings.ContainsAny(name, `/:"*\`) ||
				strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return fmt.Errorf("%q cannot be the name of an interface", name)
			}
		}
	}
	return nil
}

// maxInterfaceName is IFNAMSIZ without the zero at the end.
const maxInterfaceName = 15

// ports are the protocols that the match takes when it looks at ports.
func (m Match) ports() []Protocol {
	if len(m.Protocols) == 0 {
		return withPorts
	}
	var some []Protocol
	for _, p := range withPorts {
		for _, q := range m.Protocols {
			if p == q {
				some = append(some, p)
				break
			}
		}
	}
	return some
}

// icmp is the family whose ICMP types the match may look at; 0 is none.
func (m Match) icmp() Family {
	if len(m.Protocols) == 1 {
		switch m.Protocols[0] {
		case ICMP:
			return IPv4
		case ICMPv6:
			return IPv6
		}
	}
	return 0
}
