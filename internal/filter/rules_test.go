package filter_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"ipq/internal/filter"
	"ipq/packet"
	"ipq/rules"
)

func parse(t testing.TB, s string) *filter.Filter {
	t.Helper()
	f, err := filter.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What common filters become: few rules, and the simplest.
func TestRules(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "queue"},
		{"ip", "meta nfproto ipv4 queue"},
		{"icmp or icmp6", "meta nfproto ipv4 meta l4proto icmp queue; meta nfproto ipv6 meta l4proto ipv6-icmp queue"},
		{"tcp or udp", "meta l4proto { tcp, udp } queue"},
		{"tcp or tcp port 80", "meta l4proto tcp queue"},
		{"tcp dst port 80 or 443 or 81", "tcp dport { 80-81, 443 } queue"},
		{"tcp port 80", "tcp sport 80 queue; tcp dport 80 queue"},
		{"port 53", "meta l4proto { tcp, udp, sctp } th sport 53 queue; meta l4proto { tcp, udp, sctp } th dport 53 queue"},
		{"host 10.0.0.1", "ip saddr 10.0.0.1 queue; ip daddr 10.0.0.1 queue"},
		{"src net 10.0.0.0/8 and tcp", "meta l4proto tcp ip saddr 10.0.0.0/8 queue"},
		{"src 10.0.0.1 or fd00::1", "ip saddr 10.0.0.1 queue; ip6 saddr fd00::1 queue"},
		{"src net 10.0.0.0/8 or 10.1.0.0/16", "ip saddr 10.0.0.0/8 queue"},
		{"not tcp", "meta l4proto tcp return; queue"},
		{"not port 22", "meta l4proto { tcp, udp, sctp } th sport 22 return; meta l4proto { tcp, udp, sctp } th dport 22 return; queue"},
		{"tcp and not port 22", "meta l4proto { tcp, udp, sctp } th sport 22 return; meta l4proto { tcp, udp, sctp } th dport 22 return; meta l4proto tcp queue"},
		{"not src net 10.0.0.0/8 and not src fd00::1", "ip saddr 10.0.0.0/8 return; ip6 saddr fd00::1 return; queue"},
		{"not icmp", "meta l4proto icmp return; queue; meta nfproto ipv4 jump forward-match-1; meta nfproto ipv6 queue"},
		{"src net 10.0.0.0/8 and not src net 192.168.0.0/16", "ip saddr 10.0.0.0/8 queue"},
		{"tcp dst portrange 1-100 and not dst port 22", "tcp dport { 1-21, 23-100 } queue"},
		{"udp and not tcp port 22", "meta l4proto udp queue"},
		{"not src net 0.0.0.0/0", "meta nfproto ipv6 queue"},
	} {
		var lines []string
		for line := range strings.Lines(plan(parse(t, c.in)).String()) {
			line = strings.TrimSpace(line)
			if strings.HasSuffix(line, "return") || strings.HasSuffix(line, "queue num 0") || strings.Contains(line, "jump") {
				lines = append(lines, strings.NewReplacer(" num 0", "", `counter name "queued" `, "", " @th,8,24 0x0-0xffffff", "").Replace(line))
			}
		}
		if got := strings.Join(lines, "; "); got != c.want {
			t.Errorf("%q becomes\n\t%s\nwant\n\t%s", c.in, got, c.want)
		}
	}
}

// Whoever gets the rules of a filter may change them.
func TestRulesAreTheCallers(t *testing.T) {
	f := parse(t, "src net 10.0.0.0/8 and dst port 80 and not src port 22")
	before := plan(f).String()
	list := f.Rules()
	list[0].Src[0], list[0].DstPorts[0], list[0].Except[0].SrcPorts[0] = netip.Prefix{}, rules.Port(9), rules.Port(9)
	if after := plan(f).String(); after != before {
		t.Errorf("the filter has changed:\n%s\nwas\n%s", after, before)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "rules    every packet\n"},
		{"tcp and not (port 22 or 23)", "rules    tcp and not (port 22 or port 23)\n"},
		{"(src 10.0.0.1 or udp) and (dst port 2 or not tcp)", "rules    src host 10.0.0.1 or udp and (dst port 2 or not tcp)\n"},
		{hard + " and tcp and not port 9", "program  " + parse(t, hard).String() + "\nrules    tcp\nrules    not port 9\n"},
		{ports + " and (" + hosts + ")", "rules    " + ports + "\nprogram  " + hosts + "\n"},
		{"tcp and (" + hard + ")", "rules    tcp\nprogram  " + parse(t, hard).String() + "\n"},
	} {
		if got := parse(t, c.in).Explain(); got != c.want {
			t.Errorf("%q:\n%s\nwant\n%s", c.in, got, c.want)
		}
	}
}

// hard is an expression with more terms than rules are made for. Ten of its terms are not, nor are ten pairs of hosts; all
// combinations of both are.
var (
	hard  = pairs(40, func(i int) string { return fmt.Sprintf("src port %d and dst port %d", 22+i, 443-i) })
	ports = pairs(10, func(i int) string { return fmt.Sprintf("src port %d and dst port %d", 22+i, 443-i) })
	hosts = pairs(10, func(i int) string { return fmt.Sprintf("src host 10.0.0.%d and dst host 10.0.1.%d", i, i) })
)

func pairs(n int, pair func(i int) string) string {
	all := []string{pair(0)}
	for i := 1; i < n; i++ {
		all = append(all, "("+pair(i)+")")
	}
	return strings.Join(all, " or ")
}

// When there would be too many rules there are fewer, and they take more.
func TestTooManyRules(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, in := range []string{hard, "tcp and (" + hard + ")", hard + " and tcp", "not (" + hard + ")", "not (" + hard + ") and udp"} {
		f := parse(t, in)
		list := f.Rules()
		if len(list) == 0 || len(list) > 64 {
			t.Errorf("%d rules for %.40q...", len(list), in)
		}
		var h packet.Headers
		wanted := 0
		for range 20000 {
			p := randomPacket(r)
			h.Parse(p.bytes)
			if f.Match(&h) {
				wanted++
				if !anyTakes(list, p) {
					t.Fatalf("%.40q...: the rules do not take %x\n%s", in, p.bytes, plan(f))
				}
			}
		}
		if wanted == 0 {
			t.Errorf("a bad test: nothing matches %.40q...", in)
		}
	}
	for _, c := range []struct{ in, want string }{
		{"tcp and (" + hard + ")", "meta l4proto tcp counter"},
		{hard + " and tcp", "meta l4proto tcp counter"},
	} {
		if text := plan(parse(t, c.in)).String(); !strings.Contains(text, "\t"+c.want) {
			t.Errorf("the part that fits is not used:\n%s", text)
		}
	}
}

// A packet of which only a part was copied is what is there.
func TestTruncatedPackets(t *testing.T) {
	var h packet.Headers
	r := rand.New(rand.NewPCG(9, 9))
	p := randomPacket(r)
	for p.version != 4 || p.protocol != 6 || p.transport != 24 || p.dstPort != 80 || p.srcPort == 80 {
		p = randomPacket(r)
	}
	header := len(p.bytes) - 24
	for _, c := range []struct {
		filter string
		length int
		want   bool
	}{
		{"tcp dst port 80", header + 4, true},
		{"tcp dst port 80", header + 3, false},
		{"not tcp dst port 80", header + 3, true},
		{fmt.Sprintf("src port %d", p.srcPort), header + 4, true},
		{fmt.Sprintf("src port %d", p.srcPort), header + 3, false},
		{"tcp", header, true},
		{"tcp", 20, true},
		{"tcp", 19, false},
		{"ip", 19, false},
		{"not tcp", 0, true},
		{"", 0, true},
	} {
		h.Parse(p.bytes[:c.length])
		if got := parse(t, c.filter).Match(&h); got != c.want {
			t.Errorf("%q for %d bytes: %v", c.filter, c.length, got)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	f := parse(t, "tcp and not (src net 10.0.0.0/8 or dst port 22) or udp port 53 or host fd00::1")
	r := rand.New(rand.NewPCG(4, 4))
	var h packet.Headers
	p := randomPacket(r)
	if n := testing.AllocsPerRun(1000, func() {
		h.Parse(p.bytes)
		f.Match(&h)
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}
