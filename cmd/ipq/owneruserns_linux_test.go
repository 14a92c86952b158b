package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ipq/internal/sandbox"
)

// startWaiting starts a command that prints a line, and reads its input until the test ends.
func startWaiting(t *testing.T, cmd *exec.Cmd) (line string) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// Whoever makes a user namespace may answer in it, and a process in one may not answer outside.
func TestOwnerInUserNamespace(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for _, tool := range []string{"setpriv", "unshare"} {
		_, err := exec.LookPath(tool)
		sandbox.Require(t, tool, err == nil, "no "+tool+" in PATH: install util-linux")
	}
	child := exec.Command("sh", "-c", "echo here; read end")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
	}
	if line := startWaiting(t, child); line != "here" {
		t.Fatalf("%q", line)
	}
	// A process with no capability here, and its child in namespaces of its own.
	maker := exec.Command("setpriv", "--bounding-set=-net_admin", "--inh-caps=-all", "sh", "-c",
		`unshare --user --net sh -c 'echo $$; read end'; true`)
	line := startWaiting(t, maker)
	made, err := strconv.Atoi(line)
	if err != nil {
		t.Fatalf("%q", line)
	}
	me, other := os.Getpid(), child.Process.Pid
	netns := func(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }
	for _, c := range []struct {
		what  string
		pid   int
		netns string
		may   bool
	}{
		{"this process here", me, netns(me), true},
		{"this process in the namespace that it has made", me, netns(other), true},
		{"the other one in its own", other, netns(other), true},
		{"the other one here", other, netns(me), false},
		{"one without the capability here", maker.Process.Pid, netns(me), false},
		{"one without the capability in the namespace that it has made", maker.Process.Pid, netns(made), true},
		{"no process", 1 << 30, netns(me), true},
		{"no namespace", me, netns(1 << 30), true},
	} {
		if may := mayAnswer("/proc", c.pid, c.netns); may != c.may {
			t.Errorf("%s: %v", c.what, may)
		}
	}
}
