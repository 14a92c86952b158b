//go:build !linux

package main

import "errors"

func mountedNamespace(string) (uint64, error) { return 0, errors.ErrUnsupported }
