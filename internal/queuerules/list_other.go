//go:build !linux

package queuerules

import "errors"

// List lists rules on Linux only.
func List() ([]Rule, error) { return nil, errors.ErrUnsupported }
