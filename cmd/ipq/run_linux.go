package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/internal/trap"
)

// xtablesLock is the variable that tells iptables which file to lock.
const xtablesLock = "XTABLES_LOCKFILE"

// program executes the program in the place of this process.
func (l *launch) program(args []string) error {
	if l.sandbox {
		if err := sandbox.Enter(); err != nil {
			return &statusError{exitLauncher, err}
		}
		// The lock of iptables belongs to root outside, and guards rules that are
		// not those of this network.
		if _, ok := os.LookupEnv(xtablesLock); !ok {
			os.Setenv(xtablesLock, os.DevNull)
		}
	}
	path, err := exec.LookPath(args[0])
	if err != nil && !errors.Is(err, exec.ErrDot) { // the current directory is in PATH: as its owner wishes
		return executeError(err)
	}
	supervisor := []string{"ipq", "run", "--supervise"}
	if !l.anywhere {
		socket := l.socket
		if socket != "" { // the supervisor has another working directory
			if socket, err = filepath.Abs(socket); err != nil {
				return &statusError{exitLauncher, err}
			}
		}
		supervisor = append(supervisor, "--socket="+socket)
	}
	err = trap.Launch(trap.Program{Path: path, Args: args, Env: os.Environ()}, supervisor...)
	var failed *trap.ExecError
	if errors.As(err, &failed) {
		return executeError(err)
	}
	return &statusError{exitLauncher, err}
}

func executeError(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return &statusError{exitNotFound, err}
	}
	return &statusError{exitNotExecutable, err}
}

// supervisor is what trap.Launch starts.
func (l *launch) supervisor() error {
	if err := restrict(context.Background(), supervisorKeeps); err != nil {
		return err
	}
	return trap.Supervise(l.handler, l.report)
}

func (l *launch) report(message string) { fmt.Fprintln(os.Stderr, "ipq run: "+message) }

// predecessor is how long to wait for a queue that another socket owns: "ipq run
// A; ipq run B" has B begin when A is gone, which is just before A's supervisor.
const predecessor = time.Second

// handler finds the service, or opens a handler of our own.
func (l *launch) handler() (trap.Handler, error) {
	var refused error
	if l.socket != "" {
		h, err := trap.OpenService(l.socket)
		switch {
		case err == nil:
			return h, nil
		case !l.anywhere:
			return nil, fmt.Errorf("%w; is \"ipq emulate\" running there?", err)
		case !errors.Is(err, fs.ErrNotExist):
			refused = err
		}
	}
	h, err := trap.OpenOwn(l.report)
	for deadline := time.Now().Add(predecessor); errors.Is(err, ipq.ErrQueueBusy) && time.Now().Before(deadline); {
		time.Sleep(predecessor / 50)
		h, err = trap.OpenOwn(l.report)
	}
	switch {
	case err == nil:
		return h, nil
	case refused != nil:
		return nil, fmt.Errorf("%w; and not from the service either: %w", err, refused)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; or start the service (ipq emulate --group GROUP), or use --sandbox", err)
	}
	return nil, err
}
