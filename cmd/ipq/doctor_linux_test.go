package main_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

type diagnosis struct {
	Watch  bool
	Checks []struct{ Name, State, Finding, Fix string }
	Queues []queueRow
	Unread []unreadRow
}

func (d diagnosis) state(name string) string {
	for _, c := range d.Checks {
		if c.Name == name {
			return c.State
		}
	}
	return ""
}

func TestDoctor(t *testing.T) {
	sandbox.RequireQueue(t)
	_, err := rules.Probe("")
	sandbox.Require(t, "rules", err == nil, "this kernel cannot queue from nftables")
	q, err := ipq.Open(ipq.Config{Queue: 4713})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	before := boundQueues(t)

	e := run(t, "doctor", "-o", "json")
	d := objects[diagnosis](t, e.stdout)
	if e.status != 0 || len(d) != 1 || !d[0].Watch {
		t.Fatalf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
	for _, name := range []string{"kernel", "privilege", "namespaces", "queue", "rules"} {
		if s := d[0].state(name); s != "ok" {
			t.Errorf("%s: %q\n%s", name, s, e.stdout)
		}
	}
	if len(d[0].Queues) == 0 || !strings.Contains(e.stdout, "4713") {
		t.Errorf("the queue of this process is missing:\n%s", e.stdout)
	}
	if after := boundQueues(t); after != before {
		t.Errorf("it left queues behind: %s, and before: %s", after, before)
	}

	e = run(t, "doctor")
	if e.status != 0 || e.last() != "ipq watch works here." || strings.Contains(e.stdout, "\x1b") {
		t.Errorf("status %d\n%q", e.status, e.stdout)
	}
}

func boundQueues(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/netfilter/nfnetlink_queue")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Without privilege watch does not work. The kernel's features are found all
// the same, and every red line has a fix.
func TestDoctorDenied(t *testing.T) {
	sandbox.RequireQueue(t)
	cmd := prepare(t, "doctor", "-o", "json")
	// In a user namespace of its own it has no right over this network.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
	}
	e := wait(t, cmd)
	d := objects[diagnosis](t, e.stdout)
	if e.status != 2 || len(d) != 1 || d[0].Watch {
		t.Fatalf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
	if d[0].state("privilege") != "fail" || d[0].state("queue") != "ok" {
		t.Errorf("%s", e.stdout)
	}
	for _, c := range d[0].Checks {
		if c.State == "fail" && c.Fix == "" {
			t.Errorf("%s is red, and nothing is suggested", c.Name)
		}
	}
}

// Where namespaces are forbidden try cannot work, and doctor says what to change.
func TestForbidden(t *testing.T) {
	sandbox.RequireQueue(t)
	for _, c := range []struct {
		args   []string
		status int
	}{{[]string{"try"}, 2}, {[]string{"doctor"}, 2}} {
		forbidden := append([]string{"-c", `
			echo 0 >/proc/sys/user/max_user_namespaces &&
			echo 0 >/proc/sys/user/max_net_namespaces &&
			exec "$0" "$@"`, binary(t)}, c.args...)
		shell := program(t, "sh", forbidden...)
		shell.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		}
		e := wait(t, shell)
		if e.status != c.status || !strings.Contains(e.stdout+e.stderr, "sysctl -w user.max_user_namespaces=") {
			t.Errorf("ipq %q: status %d\n%s%s", c.args, e.status, e.stdout, e.stderr)
		}
	}
}
