package rules_test

import (
	"strings"
	"testing"

	"ipq/rules"
)

func TestWarnings(t *testing.T) {
	udp := rules.Match{Protocols: protocols(rules.UDP)}
	at := func(h rules.Hook, priority int32, m ...rules.Match) rules.Chain {
		return rules.Chain{Hook: h, Priority: priority, Match: m}
	}
	for name, c := range map[string]struct {
		chains []rules.Chain
		want   string // what the one warning contains, or "" for none
	}{
		"one":               {[]rules.Chain{at(rules.Output, 0, udp)}, ""},
		"output and on":     {[]rules.Chain{at(rules.Output, 0, udp), at(rules.Postrouting, 0)}, "at output and again at postrouting"},
		"in any order":      {[]rules.Chain{at(rules.Postrouting, 0), at(rules.Forward, 0, udp)}, "at postrouting and again at forward"},
		"twice":             {[]rules.Chain{at(rules.Input, 0, udp), at(rules.Input, 10, udp)}, "at input and again at input"},
		"arriving":          {[]rules.Chain{at(rules.Prerouting, -200, udp), at(rules.Input, 0, udp)}, "ipq.FlagGSO"},
		"before tracking":   {[]rules.Chain{at(rules.Prerouting, -201, udp), at(rules.Input, 0, udp)}, ""},
		"all before it":     {[]rules.Chain{at(rules.Output, -300, udp), at(rules.Output, -250, udp), at(rules.Prerouting, -300)}, ""},
		"two ways":          {[]rules.Chain{at(rules.Input, 0), at(rules.Output, 0), at(rules.Forward, 0)}, ""},
		"no UDP":            {[]rules.Chain{at(rules.Output, 0, rules.Match{Protocols: protocols(rules.TCP, rules.ICMP)}), at(rules.Postrouting, 0)}, ""},
		"UDP excepted":      {[]rules.Chain{at(rules.Output, 0, rules.Match{Except: []rules.Match{udp}}), at(rules.Postrouting, 0)}, ""},
		"some excepted":     {[]rules.Chain{at(rules.Output, 0, rules.Match{Except: []rules.Match{{Protocols: protocols(rules.UDP), DstPorts: ports(1)}}}), at(rules.Postrouting, 0)}, "output"},
		"established alone": {[]rules.Chain{at(rules.Output, 0, rules.Match{States: rules.Established}), at(rules.Postrouting, 0)}, ""},
		"new excepted":      {[]rules.Chain{at(rules.Output, 0, rules.Match{Except: []rules.Match{{States: rules.New}}}), at(rules.Postrouting, 0)}, ""},
		"another port":      {[]rules.Chain{at(rules.Output, 0, rules.Match{DstPorts: ports(53)}), at(rules.Postrouting, 0, rules.Match{DstPorts: ports(123)})}, ""},
		"a port of both":    {[]rules.Chain{at(rules.Output, 0, rules.Match{DstPorts: ports(53, 123)}), at(rules.Postrouting, 0, rules.Match{DstPorts: ports(123)})}, "output"},
		"another family":    {[]rules.Chain{at(rules.Output, 0, rules.Match{Family: rules.IPv4}), at(rules.Postrouting, 0, rules.Match{Family: rules.IPv6})}, ""},
		"another network":   {[]rules.Chain{at(rules.Output, 0, rules.Match{Src: prefixes("10.0.0.0/8")}), at(rules.Postrouting, 0, rules.Match{Src: prefixes("192.168.0.0/16")})}, ""},
		"another device":    {[]rules.Chain{at(rules.Forward, 0, rules.Match{Out: []string{"a"}}), at(rules.Postrouting, 0, rules.Match{Out: []string{"b"}})}, ""},
	} {
		p := rules.Plan{Chains: c.chains}
		got := p.Warnings()
		if c.want == "" && len(got) != 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if s := p.String(); strings.Count(s, "# warning: ") != len(got) {
			t.Errorf("%s: the text does not have the warnings:\n%s", name, s)
		}
	}
}
