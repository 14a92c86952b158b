package main_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"ipq/internal/sandbox"
)

// resolverEnv makes the test binary look a name up, as Go does it and as the C library does it if it is linked.
const resolverEnv = "IPQ_TEST_RESOLVER"

func init() {
	name := os.Getenv(resolverEnv)
	if name == "" {
		return
	}
	for _, r := range []*net.Resolver{{PreferGo: true}, net.DefaultResolver} {
		addrs, err := r.LookupHost(context.Background(), name)
		fmt.Println(addrs, err)
	}
	os.Exit(0)
}

// Names lead to the host, whatever looks them up, and nothing of the machine is changed.
func TestTryNames(t *testing.T) {
	requireTry(t)
	const machine = "cat /etc/resolv.conf /etc/nsswitch.conf; grep ' /etc' /proc/self/mounts"
	before := wait(t, program(t, "sh", "-c", machine))
	self := binary(t) + ".resolver"
	copyExecutable(t, self)
	v6, of6 := "", ""
	if families() == 2 {
		v6, of6 = "fd07::2", " fd07::2"
	}
	type user struct {
		name string
		as   func(*exec.Cmd) *exec.Cmd
	}
	for _, u := range []user{
		{"root", func(c *exec.Cmd) *exec.Cmd { return c }},
		{"ordinary user", func(c *exec.Cmd) *exec.Cmd { return asOrdinary(t, c) }},
	} {
		for _, c := range []struct {
			args []string
			want string
		}{
			{[]string{"getent", "ahostsv4", "a.test"}, "10.7.0.2        STREAM a.test\n10.7.0.2        DGRAM  \n10.7.0.2        RAW    \n"},
			{[]string{"sh", "-c", "ping -c 1 a.test >/dev/null && echo answered"}, "answered\n"},
			{[]string{"sh", "-c", "getent hosts a.invalid; echo $?"}, "2\n"},
			{[]string{self}, fmt.Sprintf("[10.7.0.2%s] <nil>\n[10.7.0.2%s] <nil>\n", of6, of6)},
			{[]string{"dig", "+short", "a.test"}, "10.7.0.2\n"},
			{[]string{"dig", "+short", "+noedns", "a.test", "AAAA"}, strings.TrimPrefix(v6+"\n", "\n")},
			{[]string{"sh", "-c", "dig a.test MX | grep -o 'status: [A-Z]*\\|EDNS: version: 0\\|ANSWER: [0-9]*\\|WARNING.*'"},
				"status: NOERROR\nANSWER: 0\nEDNS: version: 0\n"},
			{[]string{"sh", "-c", "dig a.invalid | grep -o 'status: [A-Z]*\\|WARNING.*'"}, "status: NXDOMAIN\n"},
		} {
			t.Run(u.name+" "+c.args[len(c.args)-1], func(t *testing.T) {
				for _, tool := range []string{"dig", "ping", "getent"} {
					if !strings.Contains(strings.Join(c.args, " "), tool) {
						continue
					}
					_, err := exec.LookPath(tool)
					sandbox.Require(t, tool, err == nil, "there is no "+tool)
				}
				cmd := u.as(prepare(t, append([]string{"try", "--"}, c.args...)...))
				cmd.Dir = "/"
				cmd.Env = append(os.Environ(), resolverEnv+"=") // for us
				if c.args[0] == self {
					cmd.Env = append(os.Environ(), resolverEnv+"=go.test")
				}
				e := wait(t, cmd)
				// The order of Go's addresses is its own matter.
				got := strings.ReplaceAll(e.stdout, "[fd07::2 10.7.0.2]", "[10.7.0.2 fd07::2]")
				if e.status != 0 || got != c.want {
					t.Errorf("status %d, %q, want %q\n%s", e.status, e.stdout, c.want, e.stderr)
				}
			})
		}
	}
	if after := wait(t, program(t, "sh", "-c", machine)); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before.stdout, after.stdout)
	}
}

// A resolv.conf that is a link, and services of the machine that know names, do not lead out of the sandbox; without a
// resolv.conf that is said, and the command runs.
func TestTryNamesElsewhere(t *testing.T) {
	requireTry(t)
	for name, c := range map[string]struct {
		etc  string // makes /etc, which is empty
		want string
		says string
	}{
		"link": {`mkdir /etc/run && echo nameserver 192.0.2.1 >/etc/run/stub && ln -s run/stub /etc/resolv.conf &&
			echo 'hosts: resolve [!UNAVAIL=return] files' >/etc/nsswitch.conf`, "10.7.0.2 a.test\n", ""},
		"no nsswitch.conf": {`echo nameserver 192.0.2.1 >/etc/resolv.conf`, "10.7.0.2 a.test\n", ""},
		"dangling":         {`ln -s /etc/run/stub /etc/resolv.conf`, "", "names are not looked up inside: mount over /etc/resolv.conf: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := program(t, "sh", "-c", "mount --make-rprivate / && mount -t tmpfs none /etc && { "+c.etc+`; } &&
				exec "$0" try -- sh -c 'getent ahostsv4 a.test | sed -n "s/ *STREAM//p"'`, binary(t))
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
			e := wait(t, cmd)
			if e.status != 0 || e.stdout != c.want || !strings.Contains(e.stderr, c.says) || c.says == "" && strings.Contains(e.stderr, "ipq: ") {
				t.Errorf("status %d, %q, want %q and %q\n%s", e.status, e.stdout, c.want, c.says, e.stderr)
			}
		})
	}
}

// Where mounts are shared, as systemd has it, those of the sandbox stay in it.
func TestTryNamesShared(t *testing.T) {
	requireTry(t)
	cmd := program(t, "sh", "-c", `mount --make-rprivate / && mount -t tmpfs none /etc && mount --make-rshared /etc && echo >/etc/resolv.conf &&
		OUTSIDE=$$ exec "$0" try -- sh -c 'grep -c /etc /proc/self/mounts; grep -c /etc /proc/$OUTSIDE/mounts'`, binary(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if e := wait(t, cmd); e.status != 0 || e.stdout != "2\n1\n" {
		t.Errorf("status %d, %q\n%s", e.status, e.stdout, e.stderr)
	}
}
