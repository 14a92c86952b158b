//go:build !linux

package main

import (
	"errors"
	"fmt"
)

func (l *launch) program([]string) error {
	return unableError(fmt.Errorf("ipq run needs Linux: %w", errors.ErrUnsupported))
}

func (l *launch) supervisor() error { return l.program(nil) }
