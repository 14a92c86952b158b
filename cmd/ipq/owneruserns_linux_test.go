package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"ipq/internal/sandbox"
)

// Whoever makes a user namespace may answer in it, and a process in one may not answer outside.
func TestOwnerInUserNamespace(t *testing.T) {
	sandbox.RequireNamespaces(t)
	child := exec.CommandContext(t.Context(), "sh", "-c", "echo here; read end")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
	}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		child.Wait()
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "here\n" {
		t.Fatalf("%q, %v", line, err)
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
		{"no process", 1 << 30, netns(me), true},
		{"no namespace", me, netns(1 << 30), true},
	} {
		if may := mayAnswer("/proc", c.pid, c.netns); may != c.may {
			t.Errorf("%s: %v", c.what, may)
		}
	}
}
