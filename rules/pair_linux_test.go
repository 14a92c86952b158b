package rules_test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// A resolver asks for A and AAAA at once, from one socket, and the service is spread over two servers. While both queries wait
// in a queue behind connection tracking, each has a connection of its own, to a server of its own, and the second clashes with
// the first when it goes on; before connection tracking they are one. Both are answered in either case (since Linux 6.12).
func TestQueriesThatComeInPairs(t *testing.T) {
	nft := requireNft(t)
	const service, server1, server2 = "127.0.0.1:5353", "127.0.0.2", "127.0.0.3"
	run(t, `table ip service {
		chain output {
			type nat hook output priority -100;
			udp dport 5353 dnat to numgen inc mod 2 map { 0 : `+server1+`, 1 : `+server2+` };
		}
	}`, nft, "-f", "-")
	t.Cleanup(func() { run(t, "", nft, "delete", "table", "ip", "service") })
	for _, server := range []string{server1, server2} {
		s := listen(t, server+":5353")
		go func() {
			buf := make([]byte, 100)
			for {
				n, from, err := s.ReadFrom(buf)
				if err != nil {
					return
				}
				s.WriteTo(append(buf[:n], " from "+server...), from)
			}
		}()
	}
	to, err := net.ResolveUDPAddr("udp", service)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		chain          rules.Chain
		clash, servers int
	}{
		{rules.Chain{Hook: rules.Output, Priority: -300}, 0, 1},
		{rules.Chain{Hook: rules.Postrouting}, 1, 2},
	} {
		t.Run(c.chain.Hook.String(), func(t *testing.T) {
			if c.clash != 0 {
				sandbox.Require(t, "linux 6.12", sinceLinux(t, 6, 12), "before, the kernel sends the second query astray")
			}
			both := make(chan struct{})
			serve(t, ipq.Config{Queue: 928}, func(*ipq.Packet) ipq.Verdict {
				<-both
				return ipq.Accept
			})
			c.chain.Match = []rules.Match{{Protocols: protocols(rules.UDP), DstPorts: ports(5353)}}
			installed(t, rules.Install, rules.Plan{Target: rules.Target{Queue: 928}, Chains: []rules.Chain{c.chain}})
			before := clashes(t)
			resolver := listen(t, "127.0.0.1:0")
			for _, query := range []string{"A", "AAAA"} {
				if _, err := resolver.WriteTo([]byte(query), to); err != nil {
					t.Error(err)
				}
			}
			close(both)
			var answers []string
			servers := make(map[string]bool)
			for range 2 {
				answer, err := resolver.next(10 * time.Second)
				if err != nil {
					t.Fatalf("after the answers %q: %v", answers, err)
				}
				query, server, _ := strings.Cut(answer, " from ")
				answers = append(answers, query)
				servers[server] = true
			}
			if slices.Sort(answers); !slices.Equal(answers, []string{"A", "AAAA"}) || len(servers) != c.servers {
				t.Errorf("answers to %q by %v, want both by %d servers", answers, servers, c.servers)
			}
			if got := clashes(t) - before; got != c.clash {
				t.Errorf("%d connections clashed, want %d", got, c.clash)
			}
		})
	}
}

// sinceLinux reports whether the kernel is at least of that version.
func sinceLinux(t *testing.T, major, minor int) bool {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	var m, n int
	if _, err := fmt.Sscanf(string(release), "%d.%d", &m, &n); err != nil {
		t.Fatal(err)
	}
	return m > major || m == major && n >= minor
}

// clashes counts the connections of the namespace that clashed with another one, over all CPUs.
func clashes(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/stat/nf_conntrack")
	sandbox.Require(t, "conntrack statistics", err == nil, "the kernel was built without CONFIG_NF_CONNTRACK_PROCFS")
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	column := slices.Index(strings.Fields(lines[0]), "clashres")
	sandbox.Require(t, "conntrack statistics", column >= 0, "the kernel does not count clashes (since Linux 5.9)")
	sum := 0
	for _, line := range lines[1:] {
		n, err := strconv.ParseInt(strings.Fields(line)[column], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += int(n)
	}
	return sum
}
