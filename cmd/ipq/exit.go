package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

// The exit statuses.
const (
	exitDone   = 0 // also after SIGINT, SIGTERM and SIGHUP
	exitFailed = 1
	exitUnable = 2  // this machine, or this user, cannot do it
	exitUsage  = 64 // EX_USAGE of sysexits.h
)

// The exit statuses of a shell, env(1) and so on for a command that did not run.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

const exitText = `0 when done, also after SIGINT, SIGTERM or SIGHUP, and when the reader of the
output has gone; 1 when it failed; 2 when it cannot run here; 64 for bad
usage.`

// exitKey is the annotation of a command that has exit statuses of its own.
const exitKey = "exit status"

// exitStatuses is the text about those of a command.
func exitStatuses(cmd *cobra.Command) string {
	if own, ok := cmd.Annotations[exitKey]; ok {
		return own
	}
	return exitText
}

// statusError is an error that sets the exit status. Without an error inside,
// nothing is printed.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// usageError makes the command exit with 64: the command line is wrong.
func usageError(err error) error { return &statusError{exitUsage, err} }

// unableError makes the command exit with 2: it cannot run here. The message
// says what to change.
func unableError(err error) error { return &statusError{exitUnable, err} }

// exitWith makes the command exit with a status that says it all.
func exitWith(status int) error {
	if status == exitDone {
		return nil
	}
	return &statusError{status: status}
}

// outcome is what an error means for the command.
func outcome(err error) (status int, message string) {
	if err == nil {
		return exitDone, ""
	}
	var s *statusError
	if errors.As(err, &s) {
		return s.status, strings.TrimSpace(err.Error())
	}
	return exitFailed, err.Error()
}
