package rules_test

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"ipq/internal/sandbox"
	"ipq/rules"
)

func TestMain(m *testing.M) {
	if os.Getenv(installerEnv) != "" {
		install()
		return
	}
	sandbox.Main(m)
}

// installerEnv makes the test binary install a plan, in the namespace that it is started in, until its input ends.
const installerEnv = "RULES_TEST_INSTALLER"

func install() {
	t, err := rules.Install(rules.Plan{
		Target: rules.Target{Queue: 910, Bypass: true},
		Chains: []rules.Chain{{Hook: rules.Output}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(t.Name())
	os.Stdin.Read(make([]byte, 1))
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func ports(list ...uint16) []rules.PortRange {
	var out []rules.PortRange
	for _, p := range list {
		out = append(out, rules.Port(p))
	}
	return out
}

func protocols(list ...rules.Protocol) []rules.Protocol { return list }

// one is a plan with one chain.
func one(h rules.Hook, priority int32, m ...rules.Match) rules.Plan {
	return rules.Plan{Target: rules.Target{Queue: 7}, Chains: []rules.Chain{{Hook: h, Priority: priority, Match: m}}}
}

// plans are plans of every shape, by name.
func plans() map[string]rules.Plan {
	full := rules.Plan{
		Target: rules.Target{Queue: 10, Last: 13, Bypass: true},
		Chains: []rules.Chain{
			{Hook: rules.Prerouting, Priority: -300, Match: []rules.Match{
				{Protocols: protocols(rules.TCP), Except: []rules.Match{{LoopedBack: true}, {Protocols: protocols(rules.TCP), SrcPorts: ports(22)}}},
				{Family: rules.IPv6, Protocols: protocols(rules.UDP), Except: []rules.Match{{LoopedBack: true}}},
			}},
			{Hook: rules.Output, Match: []rules.Match{{Except: []rules.Match{{Out: []string{"lo"}}}}}},
			{Hook: rules.Output, Priority: 10, Match: []rules.Match{{Src: prefixes("10.0.0.0/8")}}},
		},
	}
	addresses, cpu := full, full
	addresses.Target.Balance, cpu.Target.Balance = rules.BalanceAddresses, rules.BalanceCPU
	repeat, repeatAll := full, one(rules.Input, 0)
	repeat.RepeatMark, repeatAll.RepeatMark = 0x1000, 0xffffffff
	return map[string]rules.Plan{
		"everything":      one(rules.Input, 0),
		"family":          one(rules.Input, 0, rules.Match{Family: rules.IPv4}, rules.Match{Family: rules.IPv6}),
		"protocol":        one(rules.Forward, 5, rules.Match{Protocols: protocols(rules.UDP)}),
		"protocols":       one(rules.Forward, -5, rules.Match{Protocols: protocols(rules.UDP, rules.TCP, 47, rules.UDP)}),
		"address":         one(rules.Output, 0, rules.Match{Src: prefixes("10.0.0.1"), Dst: prefixes("10.0.0.2")}),
		"address6":        one(rules.Output, 0, rules.Match{Src: prefixes("fd00::1"), Dst: prefixes("fd00::2")}),
		"prefix":          one(rules.Output, 0, rules.Match{Src: prefixes("10.1.2.3/9")}, rules.Match{Dst: prefixes("192.168.3.0/24", "fd00::/63")}),
		"any prefix":      one(rules.Output, 0, rules.Match{Src: prefixes("0.0.0.0/0")}, rules.Match{Dst: prefixes("0.0.0.0/0", "::/0")}),
		"address range":   one(rules.Output, 0, rules.Match{Src: prefixes("10.0.1.0/24", "10.0.2.0/24")}),
		"addresses":       one(rules.Output, 0, rules.Match{Src: prefixes("255.255.255.255", "10.0.0.1", "172.16.0.0/12", "fd00::1", "ffff::/16", "fd00::5")}),
		"port":            one(rules.Postrouting, 0, rules.Match{Protocols: protocols(rules.TCP), DstPorts: ports(80)}),
		"port range":      one(rules.Postrouting, 0, rules.Match{Protocols: protocols(rules.UDP), SrcPorts: []rules.PortRange{{First: 1000, Last: 2000}}}),
		"ports":           one(rules.Postrouting, 0, rules.Match{Protocols: protocols(rules.TCP), SrcPorts: ports(1, 2, 3, 9), DstPorts: []rules.PortRange{{First: 60000, Last: 65535}, {First: 0, Last: 5}}}),
		"any port":        one(rules.Postrouting, 0, rules.Match{SrcPorts: []rules.PortRange{{First: 0, Last: 65535}}}),
		"port anyhow":     one(rules.Postrouting, 0, rules.Match{DstPorts: ports(53)}),
		"port of two":     one(rules.Postrouting, 0, rules.Match{Protocols: protocols(rules.TCP, rules.UDP, rules.ICMP), DstPorts: ports(53)}),
		"icmp":            one(rules.Input, 0, rules.Match{Protocols: protocols(rules.ICMP), ICMPTypes: []uint8{8}}),
		"icmp types":      one(rules.Input, 0, rules.Match{Protocols: protocols(rules.ICMPv6), ICMPTypes: []uint8{129, 128, 1}}),
		"interface":       one(rules.Forward, 0, rules.Match{In: []string{"eth0"}, Out: []string{"wlan0.7", "lo"}}),
		"mark":            one(rules.Forward, 0, rules.Match{Mark: 5, MarkMask: 0xffffffff}, rules.Match{Mark: 1, MarkMask: 3}, rules.Match{MarkMask: 0x8000}),
		"state":           one(rules.Input, 0, rules.Match{States: rules.New}, rules.Match{States: rules.Established | rules.Related | rules.Invalid | rules.Untracked}),
		"first packets":   one(rules.Input, 0, rules.Match{FirstPackets: 5}, rules.Match{FirstPackets: 1}),
		"looped":          one(rules.Prerouting, -300, rules.Match{LoopedBack: true}),
		"looped4":         one(rules.Input, 0, rules.Match{Family: rules.IPv4, LoopedBack: true}),
		"looped6":         one(rules.Input, 0, rules.Match{Family: rules.IPv6, LoopedBack: true}),
		"exception":       one(rules.Output, 0, rules.Match{Except: []rules.Match{{Out: []string{"lo"}}, {Dst: prefixes("10.0.0.1", "fd00::1")}}}),
		"own exceptions":  one(rules.Output, 0, rules.Match{Family: rules.IPv4, Except: []rules.Match{{Protocols: protocols(1)}}}, rules.Match{Family: rules.IPv6, Except: []rules.Match{{Protocols: protocols(58)}}}),
		"balance":         full,
		"balance address": addresses,
		"balance cpu":     cpu,
		"repeat":          repeat,
		"repeat all bits": repeatAll,
		"two queues":      {Target: rules.Target{Queue: 0, Last: 1, Balance: rules.BalanceAddresses}, Chains: []rules.Chain{{Hook: rules.Input}}},
		"last queue":      {Target: rules.Target{Queue: 65535, Bypass: true}, Chains: []rules.Chain{{Hook: rules.Input}}},
	}
}
