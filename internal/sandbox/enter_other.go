//go:build !linux

package sandbox

import (
	"errors"
	"fmt"
)

// Enter fails: there is no sandbox without Linux namespaces.
func Enter() error {
	errUnavailable = fmt.Errorf("sandbox: network namespaces need Linux: %w", errors.ErrUnsupported)
	return errUnavailable
}

func adopt() error { return Enter() }
