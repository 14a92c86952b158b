package rules_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ipq/internal/sandbox"
)

// A rule of the nat table that queues sees nothing without connection tracking, and with it a connection's packets up to
// the first answer; the rules behind it are not reached. docs/packet-loss.md says so.
func TestNatTable(t *testing.T) {
	sandbox.RequireNamespaces(t)
	const legacy = "iptables-legacy"
	_, err := exec.LookPath(legacy)
	sandbox.Require(t, legacy, err == nil, "it makes the rules")
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "lock")) // the usual one is root's
	tap := open(t, 955)
	t.Cleanup(func() {
		exec.Command(legacy, "-t", "nat", "-F").Run()
		exec.Command(legacy, "-F").Run()
	})
	add := func(rule string) {
		t.Helper()
		out, err := exec.Command(legacy, strings.Fields(rule)...).CombinedOutput()
		sandbox.Require(t, "netfilter", err == nil, "the kernel or a tool lacks something: "+string(out))
	}
	send := func(from, to socket, want int, what string) {
		t.Helper()
		if _, err := from.WriteTo([]byte(what), to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if !to.gets(t, what) {
			t.Errorf("%s did not arrive", what)
		}
		if packets, _ := tap.take(); len(packets) != want {
			t.Errorf("%s: %d packets were queued, want %d", what, len(packets), want)
		}
	}
	add("-t nat -A OUTPUT -p udp -j NFQUEUE --queue-num 955")
	send(listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0"), 0, "untracked")
	add("-A FORWARD -m conntrack --ctstate NEW")
	for _, translation := range []string{"", "-t nat -A OUTPUT -p udp -j DNAT --to-destination 127.0.0.1:9"} {
		if translation != "" {
			add(translation)
		}
		from, to := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
		send(from, to, 1, "the first")
		send(from, to, 1, "the second")
		send(to, from, 0, "the answer")
		send(from, to, 0, "the third")
	}
}
