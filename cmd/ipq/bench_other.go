//go:build !linux

package main

import (
	"context"
	"io"
	"time"

	"ipq/internal/sandbox"
)

func bench(context.Context, io.Writer, benchOptions) error {
	return unableError(sandbox.Enter())
}

func benchWork(io.Writer, string, time.Duration) error {
	return unableError(sandbox.Enter())
}
