package rules_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/packet"
	"ipq/rules"
)

// ways are the ways to install a plan that this kernel has.
func ways(t *testing.T) map[string]func(rules.Plan) (*rules.Table, error) {
	t.Helper()
	return map[string]func(rules.Plan) (*rules.Table, error){
		"ip and ip6": func(p rules.Plan) (*rules.Table, error) { p.Encoding = rules.Compat; return rules.Install(p) },
		"inet":       inet(hasNative(t)),
	}
}

// seen is a packet as a predicate looks at it.
type seen struct {
	*ipq.Packet
	packet.Headers
	in, out string
}

// Real traffic goes past two plans: one takes everything, the other what a Match says. The second gets exactly those packets of
// the first that a predicate, which does not know how rules are made, picks.
func TestMatches(t *testing.T) {
	net := sandbox.Setup(t, 2)
	router, near, far := net.Router, net.Hosts[0], net.Hosts[1]
	if !router.IPv6.IsValid() {
		sandbox.Require(t, "ipv6", false, "the kernel has no IPv6")
	}
	all, some := open(t, 920), open(t, 921)

	traffic := func(t *testing.T) {
		for i, pair := range [][2]*sandbox.Host{{near, far}, {router, near}, {far, router}} {
			for _, e := range []sandbox.Exchange{
				{Protocol: sandbox.ICMP}, {Protocol: sandbox.HTTP}, {Protocol: sandbox.DNS},
				{Protocol: sandbox.ICMP, IPv6: true}, {Protocol: sandbox.HTTP, IPv6: true}, {Protocol: sandbox.DNS, IPv6: true},
			} {
				if pair[1] == router && e.Protocol != sandbox.ICMP {
					continue // it has no services
				}
				e.From, e.To, e.Name = pair[0], pair[1], fmt.Sprint("x", i)
				if r, err := e.Do(); err != nil || !r.Answered {
					t.Fatalf("%s from %s to %s: %+v, %v", e.Protocol, e.From.Name, e.To.Name, r, err)
				}
			}
		}
	}

	in := func(list ...string) func(netip.Addr) bool {
		return func(a netip.Addr) bool {
			return slices.ContainsFunc(prefixes(list...), func(p netip.Prefix) bool { return p.Contains(a) })
		}
	}
	nearNet, farNet := in("10.7.0.0/24", "fd07::/64"), in("10.7.1.0/24", "fd07:1::/64")
	cases := []struct {
		name  string
		hook  rules.Hook
		match []rules.Match
		want  func(p seen) bool
	}{
		{"everything", rules.Prerouting, nil, func(p seen) bool { return true }},
		{"family", rules.Forward, []rules.Match{{Family: rules.IPv6}}, func(p seen) bool { return p.Version == 6 }},
		{"protocol", rules.Postrouting, []rules.Match{{Protocols: protocols(rules.TCP)}}, func(p seen) bool { return p.Headers.Protocol == 6 }},
		{"protocols", rules.Input, []rules.Match{{Protocols: protocols(rules.ICMP, rules.ICMPv6)}}, func(p seen) bool {
			return p.Headers.Protocol == 1 || p.Headers.Protocol == 58
		}},
		{"source", rules.Forward, []rules.Match{{Src: prefixes(near.IPv4.String(), near.IPv6.String())}}, func(p seen) bool { return nearNet(p.Src) }},
		{"destination network", rules.Forward, []rules.Match{{Dst: prefixes("10.7.1.0/24", "fd07:1::/64")}}, func(p seen) bool { return farNet(p.Dst) }},
		{"destination networks", rules.Forward, []rules.Match{{Dst: prefixes("10.7.1.0/25", "10.9.0.0/16", "fd07:1::/64", "fe80::/10")}}, func(p seen) bool { return farNet(p.Dst) }},
		{"odd prefix", rules.Forward, []rules.Match{{Src: prefixes("10.7.0.0/31", "fd07::/127")}}, func(p seen) bool { return false }},
		{"destination port", rules.Forward, []rules.Match{{DstPorts: ports(53)}}, func(p seen) bool { return p.Headers.Protocol == 17 && p.DstPort == 53 }},
		{"source ports", rules.Forward, []rules.Match{{SrcPorts: ports(53, 80)}}, func(p seen) bool { return p.SrcPort == 53 || p.SrcPort == 80 }},
		{"port of a protocol", rules.Forward, []rules.Match{{Protocols: protocols(rules.UDP), DstPorts: ports(80, 53)}}, func(p seen) bool { return p.DstPort == 53 }},
		{"port range", rules.Forward, []rules.Match{{DstPorts: []rules.PortRange{{First: 50, Last: 79}}}}, func(p seen) bool { return p.DstPort == 53 }},
		{"interfaces", rules.Forward, []rules.Match{{In: []string{near.Link, "nothing0"}, Out: []string{far.Link}}}, func(p seen) bool { return p.in == near.Link && p.out == far.Link }},
		{"incoming interface", rules.Input, []rules.Match{{In: []string{far.Link}}}, func(p seen) bool { return p.in == far.Link }},
		{"outgoing interface", rules.Output, []rules.Match{{Out: []string{near.Link}}}, func(p seen) bool { return p.out == near.Link }},
		{"icmp type", rules.Forward, []rules.Match{{Protocols: protocols(rules.ICMP), ICMPTypes: []uint8{8}}}, func(p seen) bool { return p.Headers.Protocol == 1 && p.ICMPType == 8 }},
		{"icmp6 types", rules.Forward, []rules.Match{{Protocols: protocols(rules.ICMPv6), ICMPTypes: []uint8{129, 1}}}, func(p seen) bool { return p.Headers.Protocol == 58 && p.ICMPType == 129 }},
		{"any of", rules.Forward, []rules.Match{{Protocols: protocols(rules.ICMP)}, {DstPorts: ports(53)}, {Protocols: protocols(rules.ICMP)}}, func(p seen) bool {
			return p.Headers.Protocol == 1 || p.DstPort == 53
		}},
		{"exception", rules.Forward, []rules.Match{{Except: []rules.Match{{DstPorts: ports(80)}, {SrcPorts: ports(80)}}}}, func(p seen) bool { return p.Headers.Protocol != 6 }},
		{"exceptions of its own", rules.Forward, []rules.Match{
			{Family: rules.IPv4, Except: []rules.Match{{Protocols: protocols(rules.TCP)}}},
			{Protocols: protocols(rules.TCP), Except: []rules.Match{{Family: rules.IPv4}}},
		}, func(p seen) bool { return (p.Headers.Protocol == 6) == (p.Version == 6) }},
		{"state", rules.Forward, []rules.Match{{States: rules.New}}, func(p seen) bool { return first(p) }},
		{"state at prerouting", rules.Prerouting, []rules.Match{{States: rules.Established | rules.Related}}, func(p seen) bool { return !first(p) }},
	}
	for way, install := range ways(t) {
		for _, c := range cases {
			t.Run(way+"/"+c.name, func(t *testing.T) {
				everything := one(c.hook, -150)
				everything.Target.Queue = 920
				chosen := one(c.hook, -149, c.match...)
				chosen.Target.Queue = 921
				installed(t, install, everything)
				installed(t, install, chosen)
				all.take()
				some.take()
				traffic(t)
				packets, headers := all.take()
				got, _ := some.take()
				var want [][]byte
				for i := range packets {
					s := seen{packets[i], headers[i], packets[i].InName(), packets[i].OutName()}
					if c.want(s) {
						want = append(want, packets[i].Payload)
					}
				}
				if len(packets) < 4 || (len(want) == 0) != (c.name == "odd prefix") {
					t.Fatalf("a bad test: %d packets, %d wanted", len(packets), len(want))
				}
				if len(got) != len(want) {
					t.Fatalf("%d packets were queued, want %d of %d", len(got), len(want), len(packets))
				}
				for i := range got {
					if !bytes.Equal(got[i].Payload, want[i]) {
						t.Errorf("packet %d is %x, want %x", i, got[i].Payload, want[i])
					}
				}
			})
		}
	}
}

// first reports whether the packet begins its connection: the traffic has a request and its answer, and TCP's SYN.
func first(p seen) bool {
	switch p.Headers.Protocol {
	case packet.TCP:
		return p.Flags == packet.SYN
	case packet.UDP:
		return p.DstPort == 53
	}
	return p.ICMPType == 8 || p.ICMPType == 128
}
