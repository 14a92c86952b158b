package main

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
)

// output is standard output. It remembers that something could not be written
// to it, so that no command succeeds whose answer nobody got, also where the
// writer of the text did not look.
type output struct {
	w io.Writer

	mu  sync.Mutex
	err error // the first one
}

// Write writes to standard output.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// failure is why something could not be written. A reader that went away has
// seen enough, and is none.
func (o *output) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil || errors.Is(o.err, syscall.EPIPE) {
		return nil
	}
	return fmt.Errorf("print the result: %w", o.err)
}
