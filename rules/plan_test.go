package rules_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"ipq/rules"
)

func TestPlanString(t *testing.T) {
	for _, c := range []struct{ plan, want string }{
		{"everything", `table inet ipq {
	counter queued {
	}

	chain input {
		type filter hook input priority 0; policy accept;
		counter name "queued" queue num 7
	}
}
`},
		{"addresses", `table inet ipq {
	counter queued {
	}

	chain output {
		type filter hook output priority 0; policy accept;
		ip saddr { 10.0.0.1, 172.16.0.0/12, 255.255.255.255 } counter name "queued" queue num 7
		ip6 saddr { fd00::1, fd00::5, ffff::/16 } counter name "queued" queue num 7
	}
}
`},
		{"repeat", `# warning: UDP is queued at output and again at output, behind connection tracking: of a train of datagrams (UDP_SEGMENT, QUIC) that begins a connection one arrives. Open the queue with ipq.FlagGSO, or queue once, at best at prerouting or output with a priority below -200.
table inet ipq {
	counter queued {
	}

	chain queue-10 {
		counter name "queued" queue num 10 bypass
	}

	chain queue-11 {
		counter name "queued" queue num 11 bypass
	}

	chain queue-12 {
		counter name "queued" queue num 12 bypass
	}

	chain queue-13 {
		counter name "queued" queue num 13 bypass
	}

	chain balance {
		symhash mod 4 vmap { 0 : goto queue-10, 1 : goto queue-11, 2 : goto queue-12, 3 : goto queue-13 }
	}

	chain prerouting-match-1 {
		tcp sport 22 @th,8,24 0x0-0xffffff return
		goto balance
	}

	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		meta mark & 0x1000 == 0x1000 meta mark set meta mark & 0xffffefff return
		meta pkttype { broadcast, multicast } fib saddr type local return
		meta pkttype broadcast ip saddr 0.0.0.0 rt ip nexthop 0.0.0.0-255.255.255.255 return
		meta l4proto tcp jump prerouting-match-1
		meta nfproto ipv6 meta l4proto udp goto balance
	}

	chain output {
		type filter hook output priority 0; policy accept;
		meta mark & 0x1000 == 0x1000 meta mark set meta mark & 0xffffefff return
		oifname "lo" return
		goto balance
	}

	chain output-2 {
		type filter hook output priority 10; policy accept;
		meta mark & 0x1000 == 0x1000 meta mark set meta mark & 0xffffefff return
		ip saddr 10.0.0.0/8 goto balance
	}
}
`},
		{"balance", `# warning: UDP is queued at output and again at output, behind connection tracking: of a train of datagrams (UDP_SEGMENT, QUIC) that begins a connection one arrives. Open the queue with ipq.FlagGSO, or queue once, at best at prerouting or output with a priority below -200.
table inet ipq {
	counter queued {
	}

	chain queue-10 {
		counter name "queued" queue num 10 bypass
	}

	chain queue-11 {
		counter name "queued" queue num 11 bypass
	}

	chain queue-12 {
		counter name "queued" queue num 12 bypass
	}

	chain queue-13 {
		counter name "queued" queue num 13 bypass
	}

	chain balance {
		symhash mod 4 vmap { 0 : goto queue-10, 1 : goto queue-11, 2 : goto queue-12, 3 : goto queue-13 }
	}

	chain prerouting-match-1 {
		tcp sport 22 @th,8,24 0x0-0xffffff return
		goto balance
	}

	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		meta pkttype { broadcast, multicast } fib saddr type local return
		meta pkttype broadcast ip saddr 0.0.0.0 rt ip nexthop 0.0.0.0-255.255.255.255 return
		meta l4proto tcp jump prerouting-match-1
		meta nfproto ipv6 meta l4proto udp goto balance
	}

	chain output {
		type filter hook output priority 0; policy accept;
		oifname "lo" return
		goto balance
	}

	chain output-2 {
		type filter hook output priority 10; policy accept;
		ip saddr 10.0.0.0/8 goto balance
	}
}
`},
	} {
		if got := plans()[c.plan].String(); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.plan, got, c.want)
		}
	}
}

// Every plan that no kernel could do, or that would do nothing, is refused with a reason, and nothing is installed.
func TestInvalidPlans(t *testing.T) {
	mapped := netip.MustParsePrefix("::ffff:10.0.0.1/128")
	deep := []rules.Match{{Except: []rules.Match{{}}}}
	for _, c := range []struct {
		plan rules.Plan
		want string
	}{
		{rules.Plan{}, "no chain"},
		{rules.Plan{Target: rules.Target{Queue: 5, Last: 4}, Chains: []rules.Chain{{}}}, "ends (4) before it begins (5)"},
		{rules.Plan{Target: rules.Target{Last: 65535, Balance: rules.BalanceCPU}, Chains: []rules.Chain{{}}}, "65536 queues"},
		{rules.Plan{Target: rules.Target{Last: 2000}, Chains: []rules.Chain{{}}}, "too many to balance by flow"},
		{rules.Plan{Target: rules.Target{Balance: 9}, Chains: []rules.Chain{{}}}, "unknown balance 9"},
		{rules.Plan{Encoding: 3, Chains: []rules.Chain{{}}}, "unknown encoding 3"},
		{one(5, 0), "chain 0: unknown hook 5"},
		{one(rules.Input, 0, rules.Match{}, rules.Match{Family: 7}), "chain 0 (input), match 1: unknown family 7"},
		{one(rules.Input, 0, rules.Match{Src: make([]netip.Prefix, 1)}), "not valid"},
		{one(rules.Input, 0, rules.Match{Dst: []netip.Prefix{mapped}}), "Unmap"},
		{one(rules.Input, 0, rules.Match{DstPorts: []rules.PortRange{{First: 2, Last: 1}}}), "2-1 ends before"},
		{one(rules.Input, 0, rules.Match{Protocols: protocols(rules.ICMP), DstPorts: ports(80)}), "none of the protocols (icmp) has any"},
		{one(rules.Input, 0, rules.Match{ICMPTypes: []uint8{8}}), "ICMP types need Protocols"},
		{one(rules.Input, 0, rules.Match{Protocols: protocols(rules.ICMP, rules.ICMPv6), ICMPTypes: []uint8{8}}), "ICMP types need Protocols"},
		{one(rules.Output, 0, rules.Match{In: []string{"lo"}}), "no incoming interface"},
		{one(rules.Prerouting, 0, rules.Match{Out: []string{"lo"}}), "no outgoing interface"},
		{one(rules.Input, 0, rules.Match{Out: []string{"lo"}}), "no outgoing interface"},
		{one(rules.Input, 0, rules.Match{In: []string{""}}), `"" cannot be`},
		{one(rules.Input, 0, rules.Match{In: []string{"sixteen-bytes-xx"}}), "cannot be"},
		{one(rules.Input, 0, rules.Match{In: []string{"a\" drop #"}}), "cannot be"},
		{one(rules.Input, 0, rules.Match{In: []string{"eth*"}}), "cannot be"},
		{one(rules.Input, 0, rules.Match{In: []string{"ä"}}), "cannot be"},
		{one(rules.Input, 0, rules.Match{States: 1 << 9}), "0x200"},
		{one(rules.Prerouting, -200, rules.Match{States: rules.New}), "has not seen"},
		{one(rules.Output, -300, rules.Match{FirstPackets: 1}), "has not seen"},
		{one(rules.Input, 0, rules.Match{Mark: 2, MarkMask: 1}), "outside its mask"},
		{one(rules.Output, 0, rules.Match{LoopedBack: true}), "only at prerouting and input"},
		{one(rules.Input, 0, rules.Match{Family: rules.IPv6, Src: prefixes("10.0.0.0/8")}), "never hold"},
		{one(rules.Input, 0, rules.Match{Src: prefixes("10.0.0.0/8"), Dst: prefixes("fd00::/8")}), "never hold"},
		{one(rules.Input, 0, rules.Match{Protocols: protocols(rules.ICMP), Family: rules.IPv6, ICMPTypes: []uint8{8}}), "never hold"},
		{one(rules.Input, 0, rules.Match{Except: deep}), "an exception cannot have exceptions"},
		{one(rules.Input, 0, rules.Match{Except: []rules.Match{{}, {Out: []string{"lo"}}}}), "exception 1: a packet has no outgoing"},
	} {
		table, err := rules.Install(c.plan)
		if !errors.Is(err, rules.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Install = %v, want %q", err, c.want)
		}
		if table != nil {
			t.Errorf("%q is installed:\n%s", c.want, table)
			table.Close()
		}
		if s := c.plan.String(); !strings.HasPrefix(s, "# ") || strings.Count(s, "\n") != 1 {
			t.Errorf("the text of an invalid plan is %q, want one line of comment", s)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{rules.Hook(4).String(), "postrouting"}, {rules.Hook(9).String(), "Hook(9)"},
		{rules.BalanceCPU.String(), "cpu"}, {rules.Balance(9).String(), "Balance(9)"},
		{rules.Encoding(0).String(), "auto"}, {rules.Compat.String(), "compat"}, {rules.Encoding(9).String(), "Encoding(9)"},
		{rules.Family(0).String(), "any"}, {rules.IPv6.String(), "ip6"}, {rules.Family(9).String(), "Family(9)"},
		{rules.SCTP.String(), "sctp"}, {rules.Protocol(47).String(), "47"},
		{rules.PortRange{First: 1, Last: 2}.String(), "1-2"}, {rules.Port(3).String(), "3"},
		{(rules.New | rules.Invalid | 512).String(), "invalid,new,0x200"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
