package main

import (
	"os"
	"os/signal"
	"syscall"
)

// noticeBrokenPipe makes a write to a reader that went away, such as head, an error: the signal would leave no time to end
// in order. The signal is taken, not ignored, which the commands that ipq runs would inherit.
func noticeBrokenPipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
