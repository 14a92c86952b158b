package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ipq/internal/privilege"
	"ipq/internal/sandbox"
)

// restricted checks that no thread of a process has more than it should, once it has its filter: what a command says when
// it is ready may come just before.
func restricted(t *testing.T, what string, pid int, keep privilege.Capabilities) {
	t.Helper()
	var s privilege.Status
	until(t, what+" has a filter", func() (ok bool) {
		var err error
		s, err = privilege.Of("/proc", pid)
		return err == nil && s.Filtered
	})
	if s.Capabilities != keep || !s.NoNewPrivs {
		t.Errorf("%s has %v, no_new_privs %t; want %v", what, s.Capabilities, s.NoNewPrivs, keep)
	}
}

// What looks at strangers' packets and messages has the right to queue packets, and no other.
func TestRestricted(t *testing.T) {
	requireTry(t)
	path := filepath.Join(t.TempDir(), "ipq.sock")
	service := emulate(t, nil, "--socket", path, "--group", strconv.Itoa(os.Getgid()))
	peer(t, path)
	restricted(t, "emulate", service.Process.Pid, privilege.NetAdmin)

	w := startWatch(t, "-n")
	restricted(t, "watch", w.cmd.Process.Pid, privilege.NetAdmin)
	w.end(syscall.SIGTERM)
	for name, user := range watchUsers(t) {
		w := startWatchAs(t, user, "-n")
		restricted(t, "watch of "+name, w.cmd.Process.Pid, privilege.NetAdmin)
		if got, want := ownerCheck(t, w.cmd.Process.Pid), "ok may use CAP_NET_ADMIN; no_new_privs yes, seccomp filter yes"; got != want {
			t.Errorf("doctor of %s: %q, want %q", name, got, want)
		}
		w.end(syscall.SIGTERM)
	}

	cmd := prepare(t, "run", "--socket", path, oldClient(t, runtime.GOARCH), "wait")
	in, out := pipes(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := out.ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	for _, name := range []string{"ipq run", "ipq run watcher"} {
		restricted(t, name, processCalled(t, name), privilege.NetAdmin|privilege.SysPtrace|privilege.DACOverride|privilege.Kill)
	}
	in.Close()
	cmd.Wait() // what it returns, other tests look at
}

// ownerCheck returns what doctor finds of a process that owns queues.
func ownerCheck(t *testing.T, pid int) string {
	t.Helper()
	e := run(t, "doctor", "-o", "json")
	for _, c := range objects[diagnosis](t, e.stdout)[0].Checks {
		if strings.HasPrefix(c.Name, "process "+strconv.Itoa(pid)+" ") {
			return c.State + " " + c.Finding
		}
	}
	return ""
}

// processCalled waits for a process of a name in this network namespace, and returns its process id. There must be no other.
func processCalled(t *testing.T, name string) (pid int) {
	t.Helper()
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "one process is called "+name, func() bool {
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		found := 0
		for _, dir := range dirs {
			comm, _ := os.ReadFile(dir + "/comm") // of those that have ended meanwhile there is none
			if ns, _ := os.Readlink(dir + "/ns/net"); string(comm) == name+"\n" && ns == here {
				pid, _ = strconv.Atoi(filepath.Base(dir))
				found++
			}
		}
		return found == 1
	})
	return pid
}

// A program that gives up root is served all the same: its supervisor may still look into it.
func TestRunOtherUser(t *testing.T) {
	sandbox.RequireQueue(t)
	sandbox.Require(t, "root", secondUser(t), "needs a second user")
	client := []string{oldClient(t, runtime.GOARCH), "autobind"}
	root := run(t, append([]string{"run", "--socket="}, client...)...)
	other := run(t, append([]string{"run", "--socket=", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, client...)...)
	numbers := regexp.MustCompile(`\d+`) // process ids
	if numbers.ReplaceAllString(other.stdout, "N") != numbers.ReplaceAllString(root.stdout, "N") || !strings.Contains(root.stdout, "bind: ok\n") ||
		other.status != 0 || other.stderr != "" {
		t.Errorf("status %d\n%s%s; as root %d\n%s%s", other.status, other.stdout, other.stderr, root.status, root.stdout, root.stderr)
	}
}

// A queue of a process that has more capabilities is refused with that process's name.
func TestRestrictedSeesOwner(t *testing.T) {
	sandbox.RequireQueue(t)
	owner := ownerOf(t, 4719)
	_, out := pipes(t, owner)
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { owner.Process.Kill(); owner.Wait() })
	if line, err := out.ReadString('\n'); line != "owned\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if got := ownerCheck(t, owner.Process.Pid); !strings.HasPrefix(got, "note may use ") || !strings.HasSuffix(got, "more than it takes to answer packets") {
		t.Errorf("doctor finds %q", got)
	}
	for _, args := range [][]string{{"watch", "--queue", "4719"}, {"emulate", "--queue4", "4719", "--socket", filepath.Join(t.TempDir(), "s")}} {
		e := run(t, args...)
		if e.status != 1 || !strings.Contains(e.stderr, "process "+strconv.Itoa(owner.Process.Pid)) {
			t.Errorf("ipq %v: status %d, %q; want process %d", args, e.status, e.stderr, owner.Process.Pid)
		}
	}
}
