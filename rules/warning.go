package rules

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
)

// passes are the hooks that a packet meets before conntrack confirms its connection, in order.
var passes = [][]Hook{{Prerouting, Input}, {Prerouting, Forward, Postrouting}, {Output, Postrouting}}

// Warnings are sentences about packets that get lost by the plan although the kernel takes it: nil when there is
// nothing to say. String has them as comments; Install takes no notice.
//
// There is one kind. A program that sends a train of datagrams with one call (UDP_SEGMENT, as QUIC does), or a device
// that merges them, hands the kernel one packet. For a queue without ipq.FlagGSO the kernel cuts it, and all parts
// share one connection. When they are queued a second time before that connection is confirmed, all but one are dropped
// as they leave the first queue. Every verdict succeeds, and no counter moves.
func (p Plan) Warnings() []string {
	var list []string
	for i, first := range p.Chains {
		for _, second := range p.Chains[i+1:] {
			if first.tracked() && second.tracked() && onePass(first.Hook, second.Hook) && meetInNewUDP(first, second) {
				list = append(list, fmt.Sprintf("UDP is queued at %s and again at %s, behind connection tracking: of a train of datagrams "+
					"(UDP_SEGMENT, QUIC) that begins a connection one arrives. Open the queue with ipq.FlagGSO, or queue once, "+
					"at best at %s or %s with a priority below %d.", first.Hook, second.Hook, Prerouting, Output, conntrackPriority))
			}
		}
	}
	return list
}

// tracked reports whether connection tracking has seen the packets of the chain.
func (c Chain) tracked() bool {
	return c.Hook != Prerouting && c.Hook != Output || c.Priority >= conntrackPriority
}

// onePass reports whether a packet may meet both hooks before its connection is confirmed.
func onePass(a, b Hook) bool {
	return slices.ContainsFunc(passes, func(p []Hook) bool { return slices.Contains(p, a) && slices.Contains(p, b) })
}

// meetInNewUDP reports whether both chains may queue the same datagram, and it may begin a connection. Between the chains
// addresses may be translated: then they may meet where the result is that they do not.
func meetInNewUDP(a, b Chain) bool {
	for _, m := range a.matches() {
		for _, n := range b.matches() {
			if m.takesNewUDP() && n.takesNewUDP() && m.meets(n) {
				return true
			}
		}
	}
	return false
}

// matches are the chain's, or the one that takes everything.
func (c Chain) matches() []Match {
	if len(c.Match) == 0 {
		return []Match{{}}
	}
	return c.Match
}

// takesNewUDP reports whether the match may take a datagram that begins a connection.
func (m Match) takesNewUDP() bool {
	excepted := slices.ContainsFunc(m.Except, func(e Match) bool {
		return slices.Contains(e.Protocols, UDP) && reflect.DeepEqual(e, Match{Protocols: e.Protocols}) ||
			e.States&New != 0 && reflect.DeepEqual(e, Match{States: e.States})
	})
	return !excepted && (len(m.Protocols) == 0 || slices.Contains(m.Protocols, UDP)) && (m.States == 0 || m.States&(New|Related) != 0)
}

// meets reports whether a packet may be taken by both matches, as far as their lists tell.
func (m Match) meets(n Match) bool {
	overlap := func(a, b PortRange) bool { return a.First <= b.Last && b.First <= a.Last }
	same := func(a, b string) bool { return a == b }
	return m.families()&n.families() != 0 &&
		meet(m.Src, n.Src, netip.Prefix.Overlaps) && meet(m.Dst, n.Dst, netip.Prefix.Overlaps) &&
		meet(m.SrcPorts, n.SrcPorts, overlap) && meet(m.DstPorts, n.DstPorts, overlap) &&
		meet(m.In, n.In, same) && meet(m.Out, n.Out, same)
}

// meet reports whether two lists have something in common. An empty one is everything.
func meet[T any](a, b []T, both func(T, T) bool) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(x T) bool {
		return slices.ContainsFunc(b, func(y T) bool { return both(x, y) })
	})
}
