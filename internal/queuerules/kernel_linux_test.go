package queuerules_test

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"ipq/internal/queuerules"
	"ipq/internal/sandbox"
)

// list runs a script in a new network namespace, and lists its rules.
func list(t *testing.T, script string) []queuerules.Rule {
	t.Helper()
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "lock")) // the usual place is root's
	var rules []queuerules.Rule
	err := sandbox.Setup(t, 1).Hosts[0].Do(func() (err error) {
		// The child is in the namespace of this thread.
		if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s\n%s", err, script, out)
		}
		rules, err = queuerules.List()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rules, func(a, b queuerules.Rule) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Family, b.Family))
	})
	return rules
}

func requireTools(t *testing.T, tools ...string) {
	t.Helper()
	sandbox.RequireQueue(t)
	for _, tool := range tools {
		_, err := exec.LookPath(tool)
		sandbox.Require(t, tool, err == nil, "no "+tool+" in PATH: install iptables and nftables")
	}
}

func compare(t *testing.T, got, want []queuerules.Rule) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNoRules(t *testing.T) {
	sandbox.RequireQueue(t)
	compare(t, list(t, "true"), nil)
}

// iptables-legacy, with all that its target NFQUEUE can say, and -j QUEUE.
func TestIptablesLegacy(t *testing.T) {
	requireTools(t, "iptables-legacy", "ip6tables-legacy")
	rules := list(t, `
		iptables-legacy -A OUTPUT -d 127.0.0.5 -j ACCEPT
		iptables-legacy -A OUTPUT -p icmp -j QUEUE
		iptables-legacy -t mangle -A PREROUTING -m mark --mark 7 -j NFQUEUE --queue-num 1
		iptables-legacy -N a && iptables-legacy -N b && iptables-legacy -N unreached
		iptables-legacy -A FORWARD -j a && iptables-legacy -A a -j b && iptables-legacy -A b -j NFQUEUE --queue-balance 2:5 --queue-cpu-fanout
		iptables-legacy -A unreached -j NFQUEUE --queue-num 40
		iptables-legacy -A INPUT -p udp -j NFQUEUE --queue-num 6 --queue-bypass
		iptables-legacy -A INPUT -j ACCEPT
		iptables-legacy -A INPUT -j NFQUEUE --queue-num 41
		ip6tables-legacy -t raw -A OUTPUT -p tcp --dport 9 -j NFQUEUE --queue-num 65535
		ping -c 1 -W 1 127.0.0.1 >/dev/null || true`)
	want := []queuerules.Rule{
		{Family: "ip", Table: "filter", Chain: "OUTPUT", Number: 2, Packets: 1},
		{Family: "ip", Table: "mangle", Chain: "PREROUTING", Number: 1, First: 1, Last: 1},
		{Family: "ip", Table: "filter", Chain: "b", Number: 1, First: 2, Last: 5},
		{Family: "ip", Table: "filter", Chain: "INPUT", Number: 1, First: 6, Last: 6, Bypass: true},
		{Family: "ip6", Table: "raw", Chain: "OUTPUT", Number: 1, First: 65535, Last: 65535},
	}
	for i := range want {
		want[i].System, want[i].Counted = queuerules.Iptables, true
	}
	compare(t, rules, want)
}

// iptables-nft writes rules of nftables with the xtables target.
func TestIptablesNft(t *testing.T) {
	requireTools(t, "iptables-nft", "ip6tables-nft")
	rules := list(t, `
		iptables-nft -A OUTPUT -p icmp -j NFQUEUE --queue-num 0
		iptables-nft -A INPUT -p udp -j NFQUEUE --queue-balance 1:4 --queue-bypass
		iptables-nft -N unreached && iptables-nft -A unreached -j NFQUEUE --queue-num 40
		iptables-nft -N reached && iptables-nft -A reached -j NFQUEUE --queue-num 5 --queue-bypass && iptables-nft -A FORWARD -j reached
		ip6tables-nft -t mangle -A PREROUTING -p tcp -j NFQUEUE --queue-num 6
		ping -c 1 -W 1 127.0.0.1 >/dev/null || true`)
	want := []queuerules.Rule{
		{Family: "ip", Table: "filter", Chain: "OUTPUT", Packets: 1},
		{Family: "ip", Table: "filter", Chain: "INPUT", First: 1, Last: 4, Bypass: true},
		{Family: "ip", Table: "filter", Chain: "reached", First: 5, Last: 5, Bypass: true},
		{Family: "ip6", Table: "mangle", Chain: "PREROUTING", First: 6, Last: 6},
	}
	for i := range rules {
		if rules[i].Number == 0 {
			t.Errorf("no handle: %+v", rules[i])
		}
		rules[i].Number = 0
	}
	for i := range want {
		want[i].System, want[i].Counted = queuerules.Nftables, true
	}
	compare(t, rules, want)
}

// A table that is switched off queues nothing.
func TestDormantTable(t *testing.T) {
	requireTools(t, "iptables-nft", "nft")
	rules := list(t, `
		iptables-nft -A OUTPUT -j NFQUEUE --queue-num 3
		ip6tables-nft -A OUTPUT -j NFQUEUE --queue-num 4
		nft 'add table ip filter { flags dormant; }'`)
	if len(rules) != 1 || rules[0].First != 4 {
		t.Errorf("%+v", rules)
	}
}

// The statement queue, where the kernel has it.
func TestQueueStatement(t *testing.T) {
	requireTools(t, "nft")
	has := exec.Command("nft", "add table ip t; add chain ip t c; add rule ip t c queue; delete table ip t").Run() == nil
	if !has {
		t.Skip("the kernel has no CONFIG_NFT_QUEUE: TestNativeQueue has the bytes")
	}
	rules := list(t, `
		nft add table inet t
		nft 'add chain inet t c { type filter hook input priority 0; }'
		nft add rule inet t c queue flags bypass to 1-3
		nft add rule inet t c counter queue to 4`)
	for i := range rules {
		rules[i].Number = 0
	}
	compare(t, rules, []queuerules.Rule{
		{System: queuerules.Nftables, Family: "inet", Table: "t", Chain: "c", First: 1, Last: 3, Bypass: true},
		{System: queuerules.Nftables, Family: "inet", Table: "t", Chain: "c", First: 4, Last: 4, Counted: true},
	})
}

// Reading makes no table of iptables-legacy: the kernel makes one for whoever asks for its name.
func TestListChangesNothing(t *testing.T) {
	sandbox.RequireQueue(t)
	err := sandbox.Setup(t, 1).Hosts[0].Do(func() error {
		if _, err := queuerules.List(); err != nil {
			return err
		}
		for _, name := range []string{"ip_tables_names", "ip6_tables_names"} {
			if names, err := os.ReadFile("/proc/thread-self/net/" + name); len(names) != 0 {
				t.Errorf("%s: %q, %v", name, names, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// deniedEnv makes the test binary list rules where it may not.
const deniedEnv = "QUEUERULES_TEST_DENIED"

func TestListDenied(t *testing.T) {
	sandbox.RequireQueue(t)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), deniedEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{ // a user namespace that has no right over this network
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
	}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "denied\n" {
		t.Errorf("%s, %v", out, err)
	}
}

func listDenied() {
	if _, err := queuerules.List(); errors.Is(err, fs.ErrPermission) {
		fmt.Println("denied")
	} else {
		fmt.Println(err)
	}
}
