//go:build !linux

package ipqtest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

func supported() error {
	return fmt.Errorf("packet queues exist on Linux only, this is %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func socketpair() (kernel, program *os.File, err error) { return nil, nil, supported() }

func (s *socket) readable() bool { return false }

func (s *socket) receive([]byte) (int, error) { return 0, errNothing }

func (s *socket) fits([]byte) bool { return true }
