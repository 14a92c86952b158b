package main_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// unableEnv makes the test binary open a queue, and then be a program without CAP_NET_ADMIN that has it open.
const unableEnv = "IPQ_TEST_UNABLE"

func init() {
	if queue := os.Getenv(unableEnv); queue != "" {
		fmt.Println(ownUnable(queue))
		os.Exit(1)
	}
}

func ownUnable(queue string) error {
	n, _ := strconv.Atoi(queue)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	again, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	if _, err := ipq.Open(ipq.Config{Queue: uint16(n), File: os.NewFile(uintptr(again), "netlink")}); err != nil {
		return err
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		return err
	}
	return syscall.Exec(setpriv, []string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-all", "sh", "-c", "echo owned; read end"}, os.Environ())
}

// A program that has given CAP_NET_ADMIN away keeps its queue, and the kernel refuses its verdicts.
func TestOwnerWithoutCapability(t *testing.T) {
	sandbox.RequireQueue(t)
	_, err := exec.LookPath("setpriv")
	sandbox.Require(t, "setpriv", err == nil, "no setpriv in PATH: install util-linux")
	n := sandbox.Setup(t, 1)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = append(os.Environ(), unableEnv+"=4741")
	stdin, stdout := pipes(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		cmd.Wait()
	}()
	if line, err := stdout.ReadString('\n'); line != "owned\n" {
		t.Fatalf("%q, %v", line, err)
	}
	refused := func() bool {
		t.Helper()
		row, ok := psRow(t, "", 4741)
		if !ok || row.PID != cmd.Process.Pid {
			t.Fatalf("%+v; the owner is process %d", row, cmd.Process.Pid)
		}
		return row.Refused
	}
	if refused() {
		t.Error("no packet waits")
	}
	table, err := rules.Install(rules.Plan{
		Target: rules.Target{Queue: 4741},
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
	conn.Write([]byte("waits"))
	if !refused() {
		t.Error("a packet waits for a program that cannot answer")
	}
	says := fmt.Sprintf("queue 4741 of process %d (sh): packets that wait: 1; the process has no CAP_NET_ADMIN", cmd.Process.Pid)
	if e := run(t, "ps"); !strings.Contains(e.stdout, "\n\n"+says) {
		t.Errorf("ps does not say %q:\n%s%s", says, e.stdout, e.stderr)
	}
	e := run(t, "doctor", "-o", "json")
	if d := objects[diagnosis](t, e.stdout); len(d) != 1 || d[0].state("queue 4741") != "note" || !strings.Contains(e.stdout, "no CAP_NET_ADMIN") {
		t.Errorf("status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
}
