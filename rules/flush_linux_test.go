package rules_test

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/nftables"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// destroyed returns when the kernel has destroyed what transactions have removed, which flushes queues: it does so later, and
// at the latest when such a socket is closed.
func destroyed(t *testing.T) {
	t.Helper()
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		t.Fatal(err)
	}
	conn.CloseLasting()
}

// What other programs do to the rules of the namespace, and whether the kernel then drops what waits in its queues: it does
// when it unhooks anything. docs/packet-loss.md has the list.
func TestWhatFlushesTheQueues(t *testing.T) {
	sandbox.RequireNamespaces(t)
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "lock")) // the usual one is root's
	const flushes, keeps = true, false
	const nft, legacy, front = "nft", "iptables-legacy", "iptables-nft"
	chain := func(family, kind, hook string) string {
		return "nft add table " + family + " t; nft add chain " + family + " t c '{ type " + kind + " hook " + hook + " priority 0; }'; "
	}
	regular := "nft add table ip t; nft add chain ip t c; "
	// What docs/packet-loss.md has to keep connection tracking on.
	const keep = "nft add table inet keep; nft add chain inet keep tracking; nft add rule inet keep tracking ct state new; "
	last := func(rule string) string { return "nft add rule ip t c " + rule }
	for _, c := range []struct {
		name, command string // the command is what must be installed
		before, do    string // for sh
		want          bool
	}{
		{"delete a base chain", nft, chain("ip", "filter", "input"), "nft delete chain ip t c", flushes},
		{"delete a table with a base chain", nft, chain("ip", "filter", "input"), "nft delete table ip t", flushes},
		{"flush ruleset", nft, chain("ip", "filter", "input"), "nft flush ruleset", flushes},
		{"delete a table without one", nft, regular, "nft delete table ip t", keeps},
		{"a base chain comes", nft, "", chain("ip", "filter", "input"), keeps},
		{"rules come and go", nft, chain("ip", "filter", "input") + last("udp dport 1 drop"), "nft flush chain ip t c; " + last("accept"), keeps},
		{"a check of a base chain", nft, "", "echo 'table ip t { chain c { type filter hook input priority 0; }; }' | nft -c -f -", flushes},
		{"a check without one", nft, "", "echo 'table ip t { chain c { accept; }; }' | nft -c -f -", keeps},
		{"a refusal of a base chain", nft, "", "echo 'table ip t { chain c { type filter hook input priority 0; }; }; delete table ip none' | nft -f - || :", flushes},
		{"a dormant table", nft, chain("ip", "filter", "input"), "nft add table ip t '{ flags dormant; }'", flushes},
		{"the arp family", nft, chain("arp", "filter", "input"), "nft delete table arp t", flushes},
		{"the bridge family", nft, chain("bridge", "filter", "input"), "nft delete table bridge t", flushes},
		{"the netdev family", nft, chain("netdev", "filter", "ingress device lo"), "nft delete table netdev t", flushes},
		{"the last ct rule", nft, regular + last("ct state new accept"), "nft flush chain ip t c", flushes},
		{"a ct rule of two", nft, regular + last("ct state new accept") + "; " + last("ct mark 1 accept"), "nft delete rule ip t c handle $(nft -a list chain ip t c | sed -n 's/.*ct mark.*handle //p')", keeps},
		{"ct zone", nft, regular + last("ct zone set 1"), "nft flush chain ip t c", flushes},
		{"a ct helper", nft, regular + `nft add ct helper ip t h '{ type "ftp" protocol tcp; }'`, "nft delete ct helper ip t h", flushes},
		{"notrack", nft, regular + last("notrack"), "nft flush chain ip t c", keeps},
		{"masquerade", nft, chain("ip", "nat", "postrouting") + last("masquerade"), "nft flush chain ip t c", flushes},
		{"dnat", nft, chain("ip", "nat", "prerouting") + last("dnat to 10.0.0.1"), "nft flush chain ip t c", flushes},
		{"tproxy", nft, chain("ip", "filter", "prerouting") + last("udp dport 1 tproxy to :1"), "nft flush chain ip t c", flushes},
		{"socket", nft, chain("ip", "filter", "prerouting") + last("socket transparent 1 accept"), "nft flush chain ip t c", keeps},
		{"synproxy", nft, chain("ip", "filter", "input") + last("tcp dport 1 synproxy"), "nft flush chain ip t c", flushes},
		{"a device with an ingress chain", nft, "ip link add gone0 type veth peer gone1; " + chain("netdev", "filter", "ingress device gone0"), "ip link del gone0", flushes},
		{"a device without one", "ip", "ip link add gone0 type veth peer gone1; ip link set gone0 up", "ip link set gone0 down; ip link del gone0", keeps},
		{"addresses and policies", "ip", "", "ip addr add 10.1.1.1/8 dev lo; ip addr del 10.1.1.1/8 dev lo; ip xfrm policy add src 10.0.0.1 dst 10.0.0.2 dir out; ip xfrm policy flush", keeps},
		{"a bridge", "ip", "ip link add gone0 type bridge; ip link set gone0 up", "ip link del gone0", keeps},
		{"the device of the packet goes down", "ip", "", "ip link set lo down; ip link set lo up", flushes},
		{"the table of connections is emptied", "conntrack", "iptables-legacy -A INPUT -m conntrack --ctstate NEW", "conntrack -F", keeps},

		{"iptables-legacy rules come and go", legacy, "iptables-legacy -A INPUT -p tcp", "iptables-legacy -F; iptables-legacy -X", keeps},
		{"iptables-legacy-restore", legacy, "iptables-legacy -A INPUT -p tcp", "iptables-legacy-save | iptables-legacy-restore", keeps},
		{"iptables-legacy conntrack", legacy, "iptables-legacy -A INPUT -m conntrack --ctstate NEW", "iptables-legacy -F", flushes},
		{"iptables-legacy state", legacy, "iptables-legacy -A INPUT -m state --state NEW", "iptables-legacy -F", flushes},
		{"iptables-legacy CONNMARK", legacy, "iptables-legacy -t mangle -A INPUT -j CONNMARK --save-mark", "iptables-legacy -t mangle -F", flushes},
		{"iptables-legacy connlimit", legacy, "iptables-legacy -A INPUT -p tcp -m connlimit --connlimit-above 1", "iptables-legacy -F", flushes},
		{"iptables-legacy MASQUERADE", legacy, "iptables-legacy -t nat -A POSTROUTING -j MASQUERADE", "iptables-legacy -t nat -F", flushes},
		{"iptables-legacy socket", legacy, "iptables-legacy -t mangle -A PREROUTING -m socket", "iptables-legacy -t mangle -F", flushes},
		{"iptables-legacy TPROXY", legacy, "iptables-legacy -t mangle -A PREROUTING -p udp -j TPROXY --on-port 1", "iptables-legacy -t mangle -F", flushes},
		{"iptables-legacy SYNPROXY", legacy, "iptables-legacy -A INPUT -p tcp -j SYNPROXY", "iptables-legacy -F", flushes},
		{"iptables-legacy zone", legacy, "iptables-legacy -t raw -A PREROUTING -j CT --zone 1", "iptables-legacy -t raw -F", flushes},
		{"iptables-legacy helper", legacy, "iptables-legacy -t raw -A PREROUTING -p tcp -j CT --helper ftp", "iptables-legacy -t raw -F", flushes},

		{"iptables-legacy conntrack, kept on", legacy, keep + "iptables-legacy -A INPUT -m conntrack --ctstate NEW", "iptables-legacy -F", keeps},
		{"iptables-legacy MASQUERADE, kept on", legacy, keep + "iptables-legacy -t nat -A POSTROUTING -j MASQUERADE", "iptables-legacy -t nat -F", keeps},
		{"iptables-legacy TPROXY, kept on", legacy, keep + "iptables-legacy -t mangle -A PREROUTING -p udp -j TPROXY --on-port 1", "iptables-legacy -t mangle -F", keeps},
		{"iptables-legacy SYNPROXY, kept on", legacy, keep + "iptables-legacy -A INPUT -p tcp -j SYNPROXY", "iptables-legacy -F", flushes},
		{"a ct helper, kept on", nft, keep + regular + `nft add ct helper ip t h '{ type "ftp" protocol tcp; }'`, "nft delete ct helper ip t h", flushes},
		{"iptables-legacy helper, kept on", legacy, keep + "iptables-legacy -t raw -A PREROUTING -p tcp -j CT --helper ftp", "iptables-legacy -t raw -F", flushes},
		{"another namespace", "unshare", "", "unshare -n sh -c 'nft add table ip t; nft add chain ip t c \"{ type filter hook input priority 0; }\"; nft delete table ip t'", keeps},
		{"iptables-legacy zone, kept on", legacy, keep + "iptables-legacy -t raw -A PREROUTING -j CT --zone 1", "iptables-legacy -t raw -F", keeps},
		{"iptables-legacy socket, kept on", legacy, keep + "iptables-legacy -t mangle -A PREROUTING -m socket", "iptables-legacy -t mangle -F", keeps},

		{"a rule of iptables-nft", front, "iptables-nft -A INPUT -p tcp", "iptables-nft -D INPUT -p tcp", keeps},
		{"iptables-nft -F", front, "iptables-nft -A INPUT -p tcp", "iptables-nft -F", keeps},
		{"iptables-nft -F; -X", front, "iptables-nft -A INPUT -p tcp", "iptables-nft -F; iptables-nft -X", flushes},
		{"iptables-nft-restore", front, "iptables-nft -A INPUT -p tcp", "iptables-nft-save | iptables-nft-restore", flushes},
		{"iptables-nft-restore --noflush", front, "iptables-nft -A INPUT -p tcp", "iptables-nft-save | iptables-nft-restore --noflush", keeps},
		{"iptables-nft conntrack", front, "iptables-nft -A INPUT -m conntrack --ctstate NEW", "iptables-nft -F", flushes},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := exec.LookPath(c.command)
			sandbox.Require(t, c.command, err == nil, "it makes the rules")
			t.Cleanup(func() {
				for _, table := range []string{"filter", "mangle", "nat", "raw"} {
					exec.Command("iptables-legacy", "-t", table, "-F").Run()
					run(t, "", "sh", "-c", "nft delete table ip "+table+" || :")
				}
				for _, table := range []string{"ip t", "arp t", "bridge t", "netdev t", "inet keep"} {
					run(t, "", "sh", "-c", "nft delete table "+table+" || :")
				}
			})
			q, held := hold(t, 935)
			p := one(rules.Output, 0, rules.Match{Protocols: protocols(rules.UDP)})
			p.Target.Queue = 935
			installed(t, rules.Install, p)
			out, err := exec.Command("sh", "-ec", c.before).CombinedOutput()
			sandbox.Require(t, "netfilter", err == nil, "the kernel or a tool lacks something: "+string(out))
			s := listen(t, "127.0.0.1:0")
			s.send(t, "held")
			id := <-held
			run(t, "", "sh", "-ec", c.do)
			destroyed(t)
			waiting := func() uint32 { return q.Stats().Kernel.Waiting }
			for deadline := time.Now().Add(10 * time.Second); c.want == flushes && waiting() != 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if got := waiting() == 0; got != c.want {
				t.Errorf("flushed: %v, want %v", got, c.want)
			}
			q.SetVerdict(id, ipq.Accept)
		})
	}
}
