//go:build linux

package tests_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// "modprobe ip_queue", and ip6_queue, start the service and return when programs
// can connect. They succeed again when it runs, and fail when it cannot.
func TestModprobe(t *testing.T) {
	requireRules(t)
	requireTool(t, "modprobe")
	requireTool(t, "setsid")
	target{word: 64}.require(t)
	dir := t.TempDir()
	socket, note := filepath.Join(dir, "s"), filepath.Join(dir, "note")
	script := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// At a place of the test's, whatever this machine has in its own.
	script("ipq", fmt.Sprintf("exec %s \"$@\" --socket %s\n", command(t), socket))
	script("systemctl", fmt.Sprintf("echo \"$@\" >> %s\n", note))
	modprobe := func(name string) (string, error) {
		cmd := exec.Command("modprobe", "-C", "../../packaging/modprobe.d", name)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		for _, name := range []string{"ip_queue", "ip6_queue"} {
			if out, err := modprobe(name); err != nil {
				t.Errorf("modprobe %s: %v\n%s", name, err, out)
			}
		}
		b, _ := os.ReadFile(note)
		if got, want := string(b), strings.Repeat("start ipq-emulate.service\n", 2); got != want {
			t.Errorf("systemctl is called with %q, want %q", got, want)
		}
		return
	}
	t.Cleanup(func() {
		end(command(t))
		awaitFree(t)
	})
	program := compile(t, "programs/destroy_null.c", target{word: 64})
	for _, name := range []string{"ip6_queue", "ip_queue"} {
		if out, err := modprobe(name); err != nil || out != "" {
			t.Fatalf("modprobe %s: %v\n%s", name, err, out)
		}
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), "IPQ_SOCKET="+socket)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("a program after it: %v\n%s", err, out)
		}
	}
	end(command(t))
	awaitFree(t)
	script("ipq", "exit 1\n")
	if out, err := modprobe("ip_queue"); err == nil || !strings.Contains(out, "ipq emulate does not start") {
		t.Errorf("without a service modprobe says %v\n%s", err, out)
	}
	// An empty PATH is none, and not the current directory.
	script("ipq", fmt.Sprintf("echo called >> %s\n", note))
	path, err := exec.LookPath("modprobe")
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := filepath.Abs("../../packaging/modprobe.d")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-C", configuration, "-n", "-v", "ip_queue")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	command, _, found := strings.Cut(strings.TrimPrefix(string(out), "install "), ";")
	if !found {
		t.Fatalf("modprobe shows %q", out)
	}
	for _, environment := range []string{"PATH=", "NOTHING="} {
		cmd := exec.Command("/bin/sh", "-c", command+"; env | grep ^PATH=; ipq")
		cmd.Dir, cmd.Env = dir, []string{environment}
		out, _ := cmd.CombinedOutput()
		if _, err := os.Stat(note); err == nil || !strings.HasPrefix(string(out), "PATH=/usr/") {
			t.Errorf("with %s: %q, and a program of the current directory is called: %t", environment, out, err == nil)
		}
	}
}
