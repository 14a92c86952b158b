package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// watcher is a running "ipq watch".
type watcher struct {
	t      *testing.T
	cmd    *exec.Cmd
	ready  string // what it said when it began
	stdout bytes.Buffer
	ended  chan struct{} // closed when standard error is
}

// startWatch starts the command and returns when its rules are in.
func startWatch(t *testing.T, args ...string) *watcher {
	t.Helper()
	return startWatchAs(t, nil, args...)
}

// startWatchAs starts it as a user; nil is the one that the test runs as.
func startWatchAs(t *testing.T, user *syscall.SysProcAttr, args ...string) *watcher {
	t.Helper()
	w := &watcher{t: t, cmd: prepare(t, append([]string{"watch"}, args...)...), ended: make(chan struct{})}
	w.cmd.SysProcAttr = user
	w.cmd.Stdout = &w.stdout
	stderr, err := w.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.cmd.Process.Kill(); w.cmd.Wait() })
	lines := bufio.NewReader(stderr)
	if w.ready, err = lines.ReadString('\n'); err != nil || !strings.HasPrefix(w.ready, "watching") {
		t.Fatalf("watch begins with %q: %v", w.ready, err)
	}
	go func() {
		defer close(w.ended)
		for line, err := lines.ReadString('\n'); err == nil; line, err = lines.ReadString('\n') {
			t.Errorf("watch says %q", line)
		}
	}()
	return w
}

// end waits for the command to end, after a signal if one is given, and returns what it printed.
func (w *watcher) end(signal syscall.Signal) []string {
	w.t.Helper()
	if signal != 0 {
		w.cmd.Process.Signal(signal)
	}
	<-w.ended
	if err := w.cmd.Wait(); err != nil {
		w.t.Errorf("watch ends with %v", err)
	}
	return strings.Split(strings.TrimSuffix(w.stdout.String(), "\n"), "\n")
}

// shown is the part of a JSON row that the tests look at.
type shown struct {
	Event, Hook, In, Out, Proto, Src, Dst, Verdict string
	Queue                                          int
	Packets, Accepted, Lost                        int
	Unseen, Stopped, Flushed                       int
	QueueDropped                                   int `json:"queue_dropped"`
	UserDropped                                    int `json:"user_dropped"`
}

func read(t *testing.T, lines []string) (rows []shown, end shown) {
	t.Helper()
	for _, line := range lines {
		var s shown
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		rows = append(rows, s)
	}
	return rows[:len(rows)-1], rows[len(rows)-1]
}

func exchange(t *testing.T, e sandbox.Exchange) {
	t.Helper()
	if r, err := e.Do(); err != nil || !r.Answered {
		t.Fatalf("%+v: %v", r, err)
	}
}

func TestWatchShowsEachPacketOnce(t *testing.T) {
	n := sandbox.Setup(t, 2)
	w := startWatch(t, "-o", "json", "ip") // the kernel announces IPv6 addresses when it likes
	exchange(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Router, To: n.Hosts[0]})
	exchange(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Hosts[0], To: n.Hosts[1]}) // forwarded
	exchange(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Router, To: n.Router})     // over lo
	rows, end := read(t, w.end(syscall.SIGINT))
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprintf("%s %s%s %s > %s %s", r.Hook, r.In, r.Out, r.Src, r.Dst, r.Verdict))
	}
	want := []string{
		"output ipq0 10.7.0.1 > 10.7.0.2 accept", "prerouting ipq0 10.7.0.2 > 10.7.0.1 accept",
		"prerouting ipq0 10.7.0.2 > 10.7.1.2 accept", "prerouting ipq1 10.7.1.2 > 10.7.0.2 accept",
		"prerouting lo 10.7.0.1 > 10.7.0.1 accept", "prerouting lo 10.7.0.1 > 10.7.0.1 accept",
	}
	if !slices.Equal(got, want) {
		t.Errorf("shown:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if end.Event != "end" || end.Packets != len(want) || end.Accepted != len(want) || end.Lost != 0 || end.Verdict != "" {
		t.Errorf("the last row is %+v", end)
	}
}

func TestWatchFilterAndCount(t *testing.T) {
	n := sandbox.Setup(t, 1)
	w := startWatch(t, "-n", "-c", "1", "udp", "dst", "port", "53")
	exchange(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Router, To: n.Hosts[0]})
	exchange(t, sandbox.Exchange{Protocol: sandbox.DNS, From: n.Router, To: n.Hosts[0], Name: "count.test"})
	lines := w.end(0) // by itself
	if len(lines) != 2 || !strings.Contains(lines[0], "> 10.7.0.2.53: ") || !strings.Contains(lines[0], "count.test") {
		t.Errorf("watch printed %q", lines)
	}
	if last := lines[len(lines)-1]; last != "1 packet: 1 accepted, 0 dropped, 0 modified, 0 lost" {
		t.Errorf("the last line is %q", last)
	}
}

func TestWatchersSideBySideLeaveNothing(t *testing.T) {
	n := sandbox.Setup(t, 1)
	killed, kept := startWatch(t, "-o", "json", "icmp"), startWatch(t, "-o", "json", "icmp")
	// The first two that nobody has.
	if !strings.Contains(killed.ready, "queue 60000;") || !strings.Contains(kept.ready, "queue 60001;") {
		t.Errorf("the watchers say %q and %q", killed.ready, kept.ready)
	}
	if got := len(tables(t)); got != 4 && got != 2 { // for each family, or one for both
		t.Errorf("%d tables of two watchers", got)
	}
	exchange(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Router, To: n.Hosts[0]})
	killed.cmd.Process.Signal(syscall.SIGKILL)
	killed.cmd.Wait()
	exchange(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Router, To: n.Hosts[0]})
	rows, _ := read(t, kept.end(syscall.SIGTERM))
	if len(rows) != 4 {
		t.Errorf("the watcher that stayed shows %d packets of two pings", len(rows))
	}
	if left := tables(t); len(left) != 0 {
		t.Errorf("tables left behind: %v", left)
	}
}

func tables(t *testing.T) (names []string) {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range list {
		names = append(names, table.Name)
	}
	return names
}

func TestWatchOwnQueues(t *testing.T) {
	n := sandbox.Setup(t, 1)
	w := startWatch(t, "-o", "json", "--queues", "7-8", "icmp")
	// Not IPv6: hosts announce themselves when they like, and what comes while watch ends is a loss, rightly.
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 8}, Chains: []rules.Chain{
		{Hook: rules.Output, Match: []rules.Match{{Family: rules.IPv4}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Remove(context.Background())
	exchange(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Router, To: n.Hosts[0]})
	exchange(t, sandbox.Exchange{Protocol: sandbox.DNS, From: n.Router, To: n.Hosts[0], Name: "passes.test"})
	if got := len(tables(t)); got == 0 || got > 2 {
		t.Errorf("%d tables: watch must install none with --queues", got)
	}
	rows, _ := read(t, w.end(syscall.SIGINT))
	if len(rows) != 1 || rows[0].Queue != 8 || rows[0].Proto != "icmp" {
		t.Errorf("watch shows %+v, want the one echo request, in queue 8", rows)
	}
}

// watchLength is how many packets a watcher that does not run holds, as its help says.
const watchLength = 256

// A watcher that does not run must neither stop the traffic, where the rules are its own, nor lose count of it, whoever runs it.
func TestWatchStopped(t *testing.T) {
	sandbox.Setup(t, 1)
	for who, user := range watchUsers(t) {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, own rules %v", who, own), func(t *testing.T) {
				packets := 6000 // more than wait in the queue
				args := []string{"-o", "json", "udp", "dst", "port", "4711"}
				if !own {
					packets = 20000 // more than wait in the socket's buffer
					args = append([]string{"--queue", "9"}, args...)
				}
				w := startWatchAs(t, user, args...)
				if !own {
					// At Input a drop is not told to the sender.
					table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 9}, Chains: []rules.Chain{
						{Hook: rules.Input, Match: []rules.Match{{DstPorts: []rules.PortRange{rules.Port(4711)}}}},
					}})
					if err != nil {
						t.Fatal(err)
					}
					defer table.Close()
				}
				w.cmd.Process.Signal(syscall.SIGSTOP)
				waitStopped(t, w.cmd.Process.Pid)
				s, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4711})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				for range packets {
					if _, err := s.WriteTo([]byte("x"), s.LocalAddr()); err != nil {
						t.Fatal(err)
					}
				}
				w.cmd.Process.Signal(syscall.SIGCONT)
				rows, end := read(t, w.end(syscall.SIGINT))
				if end.Lost == 0 || end.Accepted+end.Lost != packets || end.Packets != packets || own && end.Accepted != watchLength {
					t.Errorf("of %d packets: %+v", packets, end)
				}
				losses, shows := 0, 0
				for _, r := range rows {
					losses += r.Lost
					if r.Event == "" {
						shows++
					}
					if r.QueueDropped != 0 || own && r.UserDropped != 0 {
						t.Errorf("a loss that cannot be: %+v", r)
					}
				}
				if losses != end.Lost || shows != end.Accepted {
					t.Errorf("the rows say %d shown and %d lost, the end %+v", shows, losses, end)
				}
			})
		}
	}
}

// watchUsers are users that can watch: one who may do all, and, where there is a second user, one who has the capability
// and nothing else, as by setcap. The kernel's table of queues is closed to that one.
func watchUsers(t *testing.T) map[string]*syscall.SysProcAttr {
	t.Helper()
	users := map[string]*syscall.SysProcAttr{"root": nil}
	if secondUser(t) {
		users["capable user"] = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: 54321, Gid: 54321}, AmbientCaps: []uintptr{unix.CAP_NET_ADMIN},
		}
	}
	return users
}

// secondUser reports whether another user exists here: an ordinary user has one uid only, and cannot become another.
func secondUser(t *testing.T) bool {
	t.Helper()
	uids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(uids))
	return len(f) == 3 && f[2] != "1"
}

// A user who has the capability alone is told what was lost, too: a number, not that it is unknown.
func TestWatchByACapableUser(t *testing.T) {
	n := sandbox.Setup(t, 1)
	sandbox.Require(t, "root", secondUser(t), "needs a second user")
	user := watchUsers(t)["capable user"]
	cmd := program(t, "cat", "/proc/thread-self/net/netfilter/nfnetlink_queue")
	cmd.SysProcAttr = user
	if e := wait(t, cmd); e.status == 0 {
		t.Fatalf("that user reads the kernel's table: %s", e.stdout)
	}
	startWatchAs(t, user, "udp") // there may be two of them
	for _, args := range [][]string{{"-n", "-c", "2", "icmp"}, {"-n", "-c", "1", "--queue", "9", "icmp"}} {
		w := startWatchAs(t, user, args...)
		if args[3] == "--queue" {
			table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 9}, Chains: []rules.Chain{{Hook: rules.Output}}})
			if err != nil {
				t.Fatal(err)
			}
			defer table.Close()
		}
		exchange(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Router, To: n.Hosts[0]})
		lines := w.end(0)
		if last := lines[len(lines)-1]; tally(t, last)[1] != len(lines)-1 || !strings.HasSuffix(last, " 0 lost") {
			t.Errorf("watch %q ends with %q", args, last)
		}
	}
}

func waitStopped(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if state := processState(pid); state == "T" {
			return
		}
	}
	t.Fatal("the watcher does not stop")
}

func TestWatchRefusals(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"port", "http"}, "^^^^"},
		{[]string{"icmp", "port", "80"}, "filter: "},
		{[]string{"--queues", "9-3"}, "0 to 65535"},
		{[]string{"--queue", "1", "--queues", "1-2"}, "queue"},
		{[]string{"-o", "xml"}, "text or json"},
		{[]string{"-o", "json", "-v"}, "-v is for lines of text"},
		{[]string{"-o", "json", "-tttt"}, "-t is for lines of text"},
		{[]string{"-o", "json", "--explain"}, "--explain prints text"},
		{[]string{"--queue", "5", "--explain", "tcp"}, "it installs none"},
		{[]string{"--queues", "5-6", "--explain"}, "it installs none"},
	} {
		got := run(t, append([]string{"watch"}, c.args...)...)
		if got.status != 64 || !strings.Contains(got.stderr, c.says) {
			t.Errorf("watch %q: status %d, %q", c.args, got.status, got.stderr)
		}
	}
	if got := run(t, "watch", "--explain", "host", "10.7.0.2", "and", "udp"); got.status != 0 ||
		!strings.Contains(got.stdout, "rules    host 10.7.0.2 and udp") || !strings.Contains(got.stdout, "hook prerouting priority -300") {
		t.Errorf("--explain: status %d, %s", got.status, got.stdout)
	}
}

// A queue that another process owns is no reason to say that the machine cannot do it; a missing privilege is.
func TestWatchUnable(t *testing.T) {
	sandbox.RequireQueue(t)
	q, err := ipq.Open(ipq.Config{Queue: 4714})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for _, args := range [][]string{{"--queue", "4714"}, {"--queues", "4713-4714"}} {
		e := run(t, append([]string{"watch"}, args...)...)
		if e.status != 1 || e.stdout != "" || !strings.Contains(e.stderr, fmt.Sprintf("process %d", os.Getpid())) {
			t.Errorf("watch %q: status %d\n%s%s", args, e.status, e.stdout, e.stderr)
		}
	}
	for queue, args := range map[string][]string{"60000": nil, "4715": {"--queue", "4715"}} {
		cmd := prepare(t, append([]string{"watch"}, args...)...)
		// In a user namespace of its own it has no right over this network.
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		}
		e := wait(t, cmd)
		if e.status != 2 || e.stdout != "" || !strings.Contains(e.stderr, "open queue "+queue+": ") || !strings.Contains(e.stderr, `"ipq try" does not`) {
			t.Errorf("watch %q without privilege: status %d\n%s%s", args, e.status, e.stdout, e.stderr)
		}
	}
}

// processState is the letter that the kernel shows for what a process does.
func processState(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	state, _, _ := strings.Cut(after, " ")
	return state
}
