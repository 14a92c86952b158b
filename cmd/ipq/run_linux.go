package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"ipq/internal/sandbox"
	"ipq/internal/trap"
)

// program executes the program in the place of this process.
func (l *launch) program(args []string) error {
	if l.sandbox {
		if err := sandbox.Enter(); err != nil {
			return &statusError{exitLauncher, err}
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
func (l *launch) supervisor() error { return trap.Supervise(l.handler, l.report) }

func (l *launch) report(message string) { fmt.Fprintln(os.Stderr, "ipq run: "+message) }

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
	switch {
	case err == nil:
		return h, nil
	case refused != nil:
		return nil, fmt.Errorf("%w; and not from the service either: %w", err, refused)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; run as root, or start the service (ipq emulate --group GROUP), or use --sandbox", err)
	}
	return nil, err
}
