//go:build linux

package trap_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
)

// openTerminal returns both ends of a new pseudo-terminal.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	sandbox.Require(t, "pty", err == nil, fmt.Sprint("the test types on a terminal: ", err))
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	sandbox.Require(t, "pty", err == nil, fmt.Sprint("the test types on a terminal: ", err))
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// TestTerminal types: the program is in the foreground of its terminal, reads
// from it, and is interrupted from it. The supervisor
// knows nothing of it all.
func TestTerminal(t *testing.T) {
	keyboard, terminal := openTerminal(t)
	cmd := exec.Command(executable(t), client(t, runtime.GOARCH), "cat", "0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	s := startOn(t, cmd, terminal).supervised()
	terminal.Close()
	screen := bufio.NewReader(keyboard)
	line := func(want string) {
		t.Helper()
		timer := time.AfterFunc(patience, func() { s.cmd.Process.Kill() })
		defer timer.Stop()
		if got, err := screen.ReadString('\n'); strings.TrimRight(got, "\r\n") != want {
			t.Fatalf("the terminal shows %q, %v, want %q: %s", got, err, want, s.stderr.String())
		}
	}
	fmt.Fprint(keyboard, "typed\n")
	line("typed") // the echo
	line("typed") // the copy
	if pgrp, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPGRP); err != nil || pgrp != cmd.Process.Pid {
		t.Errorf("process group %d has the terminal, %v; want %d", pgrp, err, cmd.Process.Pid)
	}
	fmt.Fprint(keyboard, "\x03")
	if status := s.wait(); !status.Signaled() || status.Signal() != unix.SIGINT {
		t.Errorf("status %#x, want SIGINT", status)
	}
	s.gone()
}
