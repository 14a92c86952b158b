package main_test

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// queueRow is what ps says of a queue.
type queueRow struct {
	Queue        int
	PID          int
	Name         string
	Mode         string
	Range        int
	Packets      int
	Waiting      int
	QueueDropped int `json:"queue_dropped"`
	UserDropped  int `json:"user_dropped"`
	Netns        string
	NetnsInode   uint64 `json:"netns_inode"`
	Refused      bool
}

// psRows returns what ps says of queues with a number. Other tests may have one elsewhere on the machine.
func psRows(t *testing.T, queue int) (rows []queueRow) {
	t.Helper()
	e := run(t, "ps", "-o", "json")
	if e.status != 0 {
		t.Fatalf("status %d: %s", e.status, e.stderr)
	}
	for _, row := range objects[queueRow](t, e.stdout) {
		if row.Queue == queue {
			rows = append(rows, row)
		}
	}
	return rows
}

// psRow returns the one in a network namespace, as ps names it: "" is the caller's.
func psRow(t *testing.T, netns string, queue int) (row queueRow, ok bool) {
	t.Helper()
	rows := psRows(t, queue)
	i := slices.IndexFunc(rows, func(r queueRow) bool { return r.Netns == netns })
	if i < 0 {
		return row, false
	}
	return rows[i], true
}

func commOf(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Packets that wait, and packets that were dropped because the queue was full,
// are in ps's table.
func TestPs(t *testing.T) {
	sandbox.RequireQueue(t)
	if row, ok := psRow(t, "", 4711); ok {
		t.Fatalf("a queue that nobody has bound: %+v", row)
	}
	n := sandbox.Setup(t, 1)
	q, err := ipq.Open(ipq.Config{Queue: 4711, Range: 100, MaxLen: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	table, err := rules.Install(rules.Plan{
		Target: rules.Target{Queue: 4711},
		Chains: []rules.Chain{{Hook: rules.Output, Match: []rules.Match{{DstPorts: []rules.PortRange{rules.Port(9)}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	conn, err := net.Dial("udp", netip.AddrPortFrom(n.Hosts[0].IPv4, 9).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		conn.Write([]byte("waits, or is dropped")) // the kernel says EPERM of the one that it drops
	}
	pid := os.Getpid()
	row, _ := psRow(t, "", 4711)
	row.NetnsInode = 0
	want := queueRow{Queue: 4711, PID: pid, Name: commOf(t, pid), Mode: "packet", Range: 100, Packets: 2, Waiting: 2, QueueDropped: 1}
	if row != want {
		t.Errorf("%+v, want %+v", row, want)
	}

	e := run(t, "ps")
	found := false
	for _, line := range e.lines() {
		f := strings.Fields(line)
		found = found || len(f) == 10 && f[0] == "4711" && f[1] == strconv.Itoa(pid) && f[3] == "packet" && f[6] == "2" && f[7] == "1" && f[9] == "-"
	}
	if !found || !strings.HasPrefix(e.stdout, "QUEUE ") {
		t.Errorf("the text does not say the same:\n%s", e.stdout)
	}
}

// A queue in another network namespace is found by the process that lives there.
func TestPsOtherNamespace(t *testing.T) {
	sandbox.RequireQueue(t)
	n := sandbox.Setup(t, 1)
	owner := ownerOf(t, 4712)
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
	row, _ := psRow(t, fmt.Sprintf("pid %d", owner.Process.Pid), 4712)
	if row.PID != owner.Process.Pid || row.Mode != "meta" || row.NetnsInode == 0 {
		t.Errorf("%+v; the owner is process %d", row, owner.Process.Pid)
	}
}

// A queue in a network namespace that no process lives in is found by the name that ip-netns(8) gave it.
func TestPsNamedNamespace(t *testing.T) {
	sandbox.RequireQueue(t)
	n := sandbox.Setup(t, 1)
	var ns *os.File
	if err := n.Hosts[0].Do(func() (err error) { ns, err = os.Open("/proc/thread-self/ns/net"); return err }); err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	q, err := ipq.Open(ipq.Config{Queue: 4717, Netns: ipq.NetnsOfFile(ns)})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	owns := func(r queueRow) bool { return r.PID == os.Getpid() }
	if rows := psRows(t, 4717); slices.ContainsFunc(rows, owns) {
		t.Fatalf("a process lives there: %+v", rows)
	}
	var table *rules.Table
	err = n.Hosts[0].Do(func() (err error) {
		table, err = rules.Install(rules.Plan{Target: rules.Target{Queue: 4718}, Chains: []rules.Chain{{Hook: rules.Output}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	pid := os.Getpid()
	cmd := program(t, "sh", "-c", `
		mount --make-rprivate / && mount -t tmpfs none /run && mkdir /run/netns && : >/run/netns/blue &&
		mount --bind "$1" /run/netns/blue && exec "$0" ps -o json`, binary(t), fmt.Sprintf("/proc/%d/fd/%d", pid, ns.Fd()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	e := wait(t, cmd)
	found := false
	for _, row := range objects[queueRow](t, e.stdout) {
		found = found || row.Queue == 4717 && row.Netns == "blue" && row.PID == pid
	}
	unread := false
	for _, row := range objects[unreadRow](t, e.stdout) {
		unread = unread || row.Unread == "4718" && row.Netns == "blue"
	}
	if e.status != 0 || !found || !unread {
		t.Errorf("status %d, want queue 4717 in blue, of process %d, and a rule for queue 4718\n%s%s", e.status, pid, e.stdout, e.stderr)
	}
}

// ownerOf prepares a process that owns a queue, where it is started.
func ownerOf(t *testing.T, queue int) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = append(os.Environ(), ownerEnv+"="+strconv.Itoa(queue))
	return cmd
}

func pipes(t *testing.T, cmd *exec.Cmd) (in *os.File, out *bufio.Reader) {
	t.Helper()
	childIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outFile, childOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, os.Stderr
	t.Cleanup(func() {
		for _, f := range []*os.File{childIn, in, outFile, childOut} {
			f.Close()
		}
	})
	return in, bufio.NewReader(outFile)
}

// Without privilege nothing can be seen: that is said, and is no empty table.
func TestPsDenied(t *testing.T) {
	sandbox.RequireQueue(t)
	sandbox.Require(t, "root", secondUser(t), "needs a second user")
	cmd := prepare(t, "ps")
	// A user that nobody is: ps shows a user what their own processes have.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	if e := wait(t, cmd); e.status != 2 || e.stdout != "" || !strings.Contains(e.stderr, "run as root") {
		t.Errorf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
}

// A process that cannot be looked into is named once, however many queues there are.
func TestPsNamesUnreadableProcesses(t *testing.T) {
	sandbox.RequireQueue(t)
	_, err := exec.LookPath("setpriv")
	sandbox.Require(t, "setpriv", err == nil, "no setpriv in PATH: install util-linux")
	for queue := range uint16(2) {
		q, err := ipq.Open(ipq.Config{Queue: 4751 + queue})
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
	}
	// This process has more capabilities than ps, so it is closed to ps.
	e := wait(t, program(t, "setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all", binary(t), "ps"))
	const says = "these processes could not be looked into: "
	if e.status != 0 || strings.Count(e.stderr, says) != 1 || !strings.Contains(e.stdout, "\n4751 ") || !strings.Contains(e.stdout, "\n4752 ") {
		t.Errorf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
	for _, line := range e.lines() {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "475") && f[1] != "-" {
			t.Errorf("the owner is in sight: %s", line)
		}
	}
}
