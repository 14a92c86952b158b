package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// output is standard output. It remembers that something could not be written
// to it, so that no command succeeds whose answer nobody got, also where the
// writer of the text did not look. A reader that went away, such as head, has
// seen enough: what is written then is no failure, and the command is to end.
type output struct {
	w    io.Writer
	gone func() // ends the command

	mu  sync.Mutex
	err error // the first one
}

// Write writes to standard output.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	switch {
	case errors.Is(err, syscall.EPIPE):
		o.gone()
		return len(b), nil
	case err != nil:
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// failure is why something could not be written.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		return nil
	}
	return fmt.Errorf("print the result: %w", o.err)
}

// unreadFor is how long an output may take nothing until it counts as not read.
const unreadFor = 2 * time.Second

// messages is standard error. A terminal that has been stopped (by Ctrl-S) must
// not keep a command from its end: what is not taken in time is given up.
type messages struct{ w io.Writer }

// Write writes to standard error.
func (m *messages) Write(b []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	written := make(chan result, 1)
	b = bytes.Clone(b)
	go func() {
		n, err := m.w.Write(b)
		written <- result{n, err}
	}()
	select {
	case r := <-written:
		return r.n, r.err
	case <-time.After(unreadFor):
		return 0, os.ErrDeadlineExceeded
	}
}
