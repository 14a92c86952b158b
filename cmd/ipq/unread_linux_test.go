package main_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// unreadRow is what ps says of a rule.
type unreadRow struct {
	Unread  string `json:"unread_queues"`
	First   int    `json:"first_queue"`
	Last    int    `json:"last_queue"`
	Bypass  bool
	System  string
	Family  string
	Table   string
	Chain   string
	Number  uint64
	Packets *uint64
	Netns   string
}

// unreadRows lists what ps says of the rules of a network namespace that feed queues from one number on to another.
func unreadRows(t *testing.T, netns string, first, last int) (rows []unreadRow) {
	t.Helper()
	e := run(t, "ps", "-o", "json")
	if e.status != 0 {
		t.Fatalf("status %d: %s", e.status, e.stderr)
	}
	for _, row := range objects[unreadRow](t, e.stdout) {
		if row.Unread != "" && row.Netns == netns && row.First >= first && row.Last <= last {
			rows = append(rows, row)
		}
	}
	return rows
}

// A rule is reported as long as no program reads its queue, and only then.
func TestUnread(t *testing.T) {
	sandbox.RequireQueue(t)
	table, err := rules.Install(rules.Plan{
		Target: rules.Target{Queue: 4721},
		Chains: []rules.Chain{{Hook: rules.Output, Match: []rules.Match{{DstPorts: []rules.PortRange{rules.Port(9)}}}}},
	})
	sandbox.Require(t, "rules", err == nil, "this kernel cannot queue from nftables")
	defer table.Close()
	rows := unreadRows(t, "", 4721, 4721)
	if len(rows) == 0 {
		t.Fatal("ps does not know the rule")
	}
	for _, row := range rows {
		if row.Unread != "4721" || row.Bypass || row.System != "nftables" || row.Table != table.Name() || row.Chain == "" || row.Number == 0 || row.Netns != "" {
			t.Errorf("%+v", row)
		}
	}
	says := "queue 4721: no program reads it, so the kernel drops what is sent there: table "
	if e := run(t, "ps"); !strings.Contains(e.stdout, "\n\n"+says) {
		t.Errorf("ps: %s%s", e.stdout, e.stderr)
	}
	e := run(t, "doctor", "-o", "json")
	d := objects[diagnosis](t, e.stdout)
	if e.status != 0 || len(d) != 1 || d[0].state("queue 4721") != "note" || len(d[0].Unread) < len(rows) {
		t.Errorf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}

	q, err := ipq.Open(ipq.Config{Queue: 4721})
	if err != nil {
		t.Fatal(err)
	}
	if rows := unreadRows(t, "", 4721, 4721); len(rows) != 0 {
		t.Errorf("the queue is read: %+v", rows)
	}
	q.Close()
	if rows := unreadRows(t, "", 4721, 4721); len(rows) == 0 {
		t.Error("the queue is closed, and ps does not say it")
	}
}

// What rules of both systems can say, in another namespace, with a reader of one of the queues.
func TestUnreadOtherNamespace(t *testing.T) {
	sandbox.RequireQueue(t)
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "lock")) // the usual place is root's
	script := ""
	for _, tool := range []string{"iptables-legacy", "ip6tables-legacy", "iptables-nft"} {
		path, err := exec.LookPath(tool)
		sandbox.Require(t, tool, err == nil, "no "+tool+" in PATH: install iptables")
		script += fmt.Sprintf("%s() { %s \"$@\"; }\n", strings.ReplaceAll(tool, "-", "_"), path)
	}
	n := sandbox.Setup(t, 1)
	owner := ownerOf(t, 4732)
	stdin, stdout := pipes(t, owner)
	if err := n.Hosts[0].Start(owner); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		owner.Wait()
	}()
	if line, err := stdout.ReadString('\n'); line != "owned\n" {
		t.Fatalf("%q, %v", line, err)
	}
	setup := exec.Command("sh", "-ec", script+`
		iptables_legacy -A OUTPUT -p icmp -j NFQUEUE --queue-balance 4730:4735
		ip6tables_legacy -t mangle -A INPUT -p tcp -j NFQUEUE --queue-num 4736 --queue-bypass
		iptables_nft -A FORWARD -p udp -j NFQUEUE --queue-num 4737
		iptables_nft -A FORWARD -p tcp -j NFQUEUE --queue-num 4732
		ping -c 1 -W 1 127.0.0.1 >/dev/null || true`)
	var said strings.Builder
	setup.Stderr = &said
	if err := n.Hosts[0].Run(setup); err != nil {
		t.Fatalf("%v: %s", err, &said)
	}
	netns := fmt.Sprintf("pid %d", owner.Process.Pid)
	want := []string{
		"iptables ip filter OUTPUT: 4730-4731,4733-4735 of 4730-4735, bypass false, 1 packets, " + netns,
		"iptables ip6 mangle INPUT: 4736 of 4736-4736, bypass true, 0 packets, " + netns,
		"nftables ip filter FORWARD: 4737 of 4737-4737, bypass false, 0 packets, " + netns,
	}
	var got []string
	for _, r := range unreadRows(t, netns, 4730, 4739) {
		counted := "no"
		if r.Packets != nil {
			counted = fmt.Sprint(*r.Packets)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s: %s of %d-%d, bypass %v, %s packets, %s",
			r.System, r.Family, r.Table, r.Chain, r.Unread, r.First, r.Last, r.Bypass, counted, r.Netns))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	e := run(t, "ps")
	for _, want := range []string{
		"queues 4730-4731,4733-4735 in " + netns + ": no program reads them, so the kernel drops what is sent there: table ip filter, chain OUTPUT, " +
			"rule 1 (iptables-legacy), which spreads over queues 4730-4735, packets counted: 1\n",
		"queue 4736 in " + netns + ": no program reads it, so packets pass unseen, because the rule has bypass: table ip6 mangle, chain INPUT, " +
			"rule 1 (ip6tables-legacy), packets counted: 0\n",
		"queue 4737 in " + netns + ": no program reads it, so the kernel drops what is sent there: table ip filter, chain FORWARD, handle ",
	} {
		if !strings.Contains(e.stdout, want) {
			t.Errorf("ps does not say %q:\n%s%s", want, e.stdout, e.stderr)
		}
	}
}
