package main

import (
	"os/signal"
	"syscall"
)

// ignoreBrokenPipe makes a write to a reader that is gone an error, not the end.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }
