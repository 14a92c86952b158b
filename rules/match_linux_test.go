package rules_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

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
				e.From, e.To, e.Name, e.Timeout = pair[0], pair[1], fmt.Sprint("x", i), time.Minute
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
				quiet(t, near, far, router)
				packets, headers := all.take()
				// The kernel's own messages about neighbours and groups come at any time, also between the two looks.
				ours := func(h packet.Headers) bool { return nearNet(h.Src) || farNet(h.Src) }
				wanted := func(p *ipq.Packet, h packet.Headers) bool { return c.want(seen{p, h, p.InName(), p.OutName()}) }
				var want, got [][]byte
				for i := range packets {
					if ours(headers[i]) && wanted(packets[i], headers[i]) {
						want = append(want, packets[i].Payload)
					}
				}
				if len(packets) < 4 || (len(want) == 0) != (c.name == "odd prefix") {
					t.Fatalf("a bad test: %d packets, %d wanted", len(packets), len(want))
				}
				chosenPackets, headers := some.take()
				for i, p := range chosenPackets {
					if !ours(headers[i]) {
						continue
					}
					if !wanted(p, headers[i]) {
						t.Errorf("queued was %x, which the match does not take", p.Payload)
					}
					got = append(got, p.Payload)
				}
				// One that is sent again may come between the two looks.
				for _, payload := range got {
					if len(want) != 0 && bytes.Equal(payload, want[0]) {
						want = want[1:]
					}
				}
				if len(want) != 0 {
					t.Errorf("%d packets were queued, and %d of the wanted are missing: the first is %x", len(got), len(want), want[0])
				}
			})
		}
	}
}

// quiet waits until no TCP connection of the hosts is open: after the last byte a connection has packets to exchange, which
// would come in the middle of what is looked at next.
func quiet(t *testing.T, hosts ...*sandbox.Host) {
	t.Helper()
	const listening, over = "0A", "06" // TCP_LISTEN, TCP_TIME_WAIT
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		open := ""
		for _, h := range hosts {
			err := h.Do(func() error {
				for _, file := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
					b, err := os.ReadFile(file)
					if err != nil {
						return err
					}
					for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
						if state := strings.Fields(line)[3]; i != 0 && state != listening && state != over {
							open = line
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if open == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a connection does not end: %s", open)
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
