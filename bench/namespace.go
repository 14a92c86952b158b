package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// namespaceEnv carries the network namespace of whoever ran the command, so that the last process of the chain can
// tell that it has left it.
const namespaceEnv = "IPQ_BENCH_OUTSIDE"

// enterNamespaces executes the command again in a network namespace of its own, for an ordinary user inside a user
// namespace of its own. It reports whether this process is the one inside; of the others it returns the exit code.
//
// The two are made one after the other: a network namespace made together with its user namespace has /proc/net
// files that belong to nobody, and the queue's counters could not be read.
func enterNamespaces() (inside bool, code int, err error) {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return false, 0, err
	}
	switch outside := os.Getenv(namespaceEnv); {
	case outside != "" && outside != here:
		return true, 0, nil
	case os.Geteuid() != 0:
		if outside != "" {
			return false, 0, errors.New("the user namespace has no root in it")
		}
		code, err = again(here, &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		})
		if err != nil {
			err = fmt.Errorf("making a user namespace (run as root where this machine refuses them): %w", err)
		}
	default:
		code, err = again(here, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
		if err != nil {
			err = fmt.Errorf("making a network namespace: %w", err)
		}
	}
	return false, code, err
}

// again executes this program again with the same arguments and returns its exit code.
func again(outside string, attr *syscall.SysProcAttr) (int, error) {
	runtime.LockOSThread() // Pdeathsig follows the thread that forked
	defer runtime.UnlockOSThread()
	attr.Pdeathsig = syscall.SIGKILL
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), namespaceEnv+"="+outside)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attr
	signal.Ignore(os.Interrupt) // the terminal sends it to the child too, which ends by it
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
