package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// exitSignal is the status of a shell for a command that a signal ended, less
// the signal's number.
const exitSignal = 128

// command runs a program in the private network, where names are looked up by
// the host, passes signals on to it, and ends with its status.
func (t *trial) command(args []string, progress io.Writer, signals <-chan os.Signal) error {
	return t.net.Hosts[0].WithResolver(func(unresolved error) error {
		if unresolved != nil {
			fmt.Fprintf(progress, "ipq: %v\n", unresolved)
		}
		return runCommand(args, signals)
	})
}

// runCommand does it on the calling thread, which must not end before.
func runCommand(args []string, signals <-chan os.Signal) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The network goes with this process, and so must the program: the signal is
	// about the thread.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		status := exitNotExecutable
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			status = exitNotFound
		}
		return &statusError{status, fmt.Errorf("start %s: %w", args[0], err)}
	}
	done := make(chan struct{})
	defer close(done)
	terminal := term.IsTerminal(int(os.Stdin.Fd()))
	go func() {
		for {
			select {
			case s := <-signals:
				// A terminal sends its signals to the program, too.
				if !terminal || s == unix.SIGTERM || s == unix.SIGHUP {
					cmd.Process.Signal(s)
				}
			case <-done:
				return
			}
		}
	}()
	cmd.Wait() // what it returns, ProcessState says
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return exitWith(exitSignal + int(status.Signal()))
	}
	return exitWith(status.ExitStatus())
}
