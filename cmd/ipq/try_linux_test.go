package main_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ipq/internal/sandbox"
	"ipq/rules"
)

// requireTry skips where try cannot work, without asking try.
func requireTry(t *testing.T) {
	t.Helper()
	sandbox.RequireQueue(t)
	_, err := rules.Probe("")
	sandbox.Require(t, "rules", err == nil, "this kernel cannot queue from nftables")
}

// asOrdinary makes root run a command as another user; an ordinary user is one.
func asOrdinary(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if secondUser(t) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd
}

var tallyLine = regexp.MustCompile(`^(\d+) packets?: (\d+) accepted, (\d+) dropped, (\d+) modified, (\d+) lost$`)

// tally reads the last line: packets, accepted, dropped, modified, lost.
func tally(t *testing.T, line string) (n [5]int) {
	t.Helper()
	m := tallyLine.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("the last line is %q", line)
	}
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1])
	}
	if n[0] != n[1]+n[2]+n[4] || n[3] > n[1] {
		t.Errorf("%q does not add up", line)
	}
	return n
}

func families() int {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		return 1
	}
	return 2
}

func TestTry(t *testing.T) {
	requireTry(t)
	for name, cmd := range map[string]*exec.Cmd{"root": prepare(t, "try"), "ordinary user": asOrdinary(t, prepare(t, "try"))} {
		t.Run(name, func(t *testing.T) {
			e := wait(t, cmd)
			if e.status != 0 || e.stderr != "" {
				t.Fatalf("status %d\n%s%s", e.status, e.stdout, e.stderr)
			}
			n := tally(t, e.last())
			// Of each family one ping and one attempt to connect are dropped, the
			// latter more than once on a slow machine, and one response is changed.
			f := families()
			if n[1] < 14*f || n[2] < 2*f || n[3] != f || n[4] != 0 {
				t.Errorf("%s", e.last())
			}
			for text, want := range map[string]int{"# did not arrive\n": 2 * f, "# answered: 192.0.2.99\n": 1, "# answered: 10.7.0.2\n": 1} {
				if got := strings.Count(e.stdout, text); got != want {
					t.Errorf("%q is there %d times, want %d:\n%s", text, got, want, e.stdout)
				}
			}
			packets := 0
			for _, line := range e.lines() {
				if line != "" && !strings.HasPrefix(line, "#") && line != e.last() {
					packets++
				}
			}
			if packets != n[0] {
				t.Errorf("%d lines of packets, but %s\n%s", packets, e.last(), e.stdout)
			}
		})
	}
}

func TestTryJSON(t *testing.T) {
	requireTry(t)
	e := run(t, "try", "-o", "json")
	list := objects[map[string]any](t, e.stdout)
	if e.status != 0 || len(list) < 10 {
		t.Fatalf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
	verdicts := map[any]int{}
	for i, o := range list {
		_, decided := o["verdict"]
		_, event := o["event"]
		if decided == event {
			t.Errorf("neither a packet nor an event, or both: %v", o)
		}
		if (o["event"] == "end") != (i == len(list)-1) {
			t.Errorf("object %d of %d is %v", i, len(list), o)
		}
		if o["event"] == "exchange" && o["arrived"] != (o["fate"] != "dropped") {
			t.Errorf("%v", o)
		}
		if decided {
			verdicts[o["verdict"]]++
			for _, key := range []string{"time", "queue", "id", "hook", "family", "proto", "src", "dst", "length"} {
				if _, ok := o[key]; !ok {
					t.Errorf("no %s in %v", key, o)
				}
			}
		}
	}
	end := list[len(list)-1]
	count := func(key string) int { f, _ := end[key].(float64); return int(f) }
	if count("accepted") != verdicts["accept"] || count("dropped") != verdicts["drop"] || verdicts["drop"] < 2*families() ||
		count("packets") != verdicts["accept"]+verdicts["drop"] || count("modified") != families() {
		t.Errorf("%v, and the packets are %v", end, verdicts)
	}
}

func TestTryCommand(t *testing.T) {
	requireTry(t)
	for _, c := range []struct {
		args   []string
		status int
	}{
		{[]string{"--", "sh", "-c", "exit 7"}, 7},
		{[]string{"sh", "-c", "exit 7"}, 7}, // its flags are its own without "--", too
		{[]string{"--", "true"}, 0},
		{[]string{"--", "sh", "-c", "kill -9 $$"}, 128 + 9},
		{[]string{"--", "no-such-program"}, 127},
		{[]string{"--", "/dev/null"}, 126},
	} {
		e := run(t, append([]string{"try"}, c.args...)...)
		if e.status != c.status {
			t.Errorf("ipq try %q: status %d, want %d\n%s%s", c.args, e.status, c.status, e.stdout, e.stderr)
		}
		lines := strings.Split(strings.TrimSuffix(e.stderr, "\n"), "\n")
		if failed := c.status == 126 || c.status == 127; failed {
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "ipq: start ") {
				t.Errorf("ipq try %q: %q", c.args, last)
			}
			lines = lines[:len(lines)-1]
		}
		tally(t, lines[len(lines)-1])
		if e.stdout != "" || strings.Count(e.stderr, "ipq: ") != strings.Count(e.stderr, "ipq: start ") {
			t.Errorf("ipq try %q: %q\n%s", c.args, e.stdout, e.stderr)
		}
	}
}

// The command's output is its own, whatever is printed of its packets.
func TestTryCommandOutput(t *testing.T) {
	requireTry(t)
	for _, format := range []string{"text", "json"} {
		e := run(t, "try", "-o", format, "--", "sh", "-c", "echo begin; ping -c 1 10.7.0.2 >/dev/null; echo error >&2; echo end")
		if e.status != 0 || e.stdout != "begin\nend\n" || !strings.Contains(e.stderr, "error\n") || !strings.Contains(e.stderr, "10.7.0.2") {
			t.Errorf("%s: status %d\n%s%s", format, e.status, e.stdout, e.stderr)
		}
	}
}

// The command is in a network of its own, with the privilege to do anything in
// it, its packets are queued, and this network is left as it was.
func TestTryCommandInside(t *testing.T) {
	requireTry(t)
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	before := boundQueues(t)
	e := wait(t, asOrdinary(t, prepare(t, "try", "--", "sh", "-c", "readlink /proc/self/ns/net; cat /proc/net/netfilter/nfnetlink_queue")))
	ns := regexp.MustCompile(`net:\[\d+\]`).FindString(e.stdout)
	if ns == "" || ns == here || e.status != 0 {
		t.Errorf("the command ran in %q, and the test runs in %s: status %d\n%s%s", ns, here, e.status, e.stdout, e.stderr)
	}
	if !regexp.MustCompile(`(?m)^ +0 +\d+ +0 2 65531 `).MatchString(e.stdout) {
		t.Errorf("queue 0 is not bound in the command's network:\n%s", e.stdout)
	}
	if after := boundQueues(t); after != before {
		t.Errorf("before: %s, after: %s", before, after)
	}
}

// Of a command that prints no error, standard error has the JSON alone.
func TestTryCommandJSON(t *testing.T) {
	requireTry(t)
	e := run(t, "try", "-o", "json", "--", "sh", "-c", "echo hello")
	list := objects[map[string]any](t, e.stderr)
	if e.status != 0 || e.stdout != "hello\n" || len(list) != 2 || list[0]["event"] != "start" || list[1]["event"] != "end" {
		t.Errorf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
}

// begin starts the command, and returns its output, both kinds as they come, behind its first line.
func begin(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	cmd.Stderr = cmd.Stdout
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	return r
}

func TestTrySignals(t *testing.T) {
	requireTry(t)
	for _, c := range []struct {
		args   []string
		signal syscall.Signal
		status int // -1: killed
	}{
		{[]string{"try"}, syscall.SIGINT, 0},
		{[]string{"try"}, syscall.SIGTERM, 0},
		{[]string{"try", "--", "sh", "-c", "echo running; exec sleep 60"}, syscall.SIGTERM, 128 + 15},
		{[]string{"try", "--", "sh", "-c", "echo running; exec sleep 60"}, syscall.SIGKILL, -1},
	} {
		t.Run(fmt.Sprint(c.args, c.signal), func(t *testing.T) {
			cmd := asOrdinary(t, prepare(t, c.args...))
			out := begin(t, cmd)
			if len(c.args) > 1 {
				if line, err := out.ReadString('\n'); line != "running\n" {
					t.Fatalf("%q, %v", line, err)
				}
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			// Its output ends when the last of its processes does.
			rest, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			cmd.Wait() // what it returns, ProcessState says
			if got := cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("status %d, want %d\n%s", got, c.status, rest)
			}
			if c.status >= 0 {
				lines := strings.Split(strings.TrimSpace(string(rest)), "\n")
				tally(t, lines[len(lines)-1])
			}
		})
	}
}
