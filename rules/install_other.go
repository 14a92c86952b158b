//go:build !linux

package rules

import (
	"context"
	"errors"
	"fmt"
)

// Table is an installed plan. There is none outside Linux.
type Table struct {
	name     string
	encoding Encoding
	specs    []tableSpec
}

// Install fails: nftables is part of Linux.
func Install(p Plan) (*Table, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("rules: nftables needs Linux: %w", errors.ErrUnsupported)
}

// Probe fails: nftables is part of Linux.
func Probe(netns string) (Encoding, error) {
	return 0, fmt.Errorf("rules: nftables needs Linux: %w", errors.ErrUnsupported)
}

// Remove does nothing.
func (t *Table) Remove(ctx context.Context) error { return nil }

// Pause does nothing.
func (t *Table) Pause() error { return nil }

// Resume does nothing.
func (t *Table) Resume() error { return nil }

// Close does nothing.
func (t *Table) Close() error { return nil }

// Queued is described in the Linux version.
func (t *Table) Queued() (uint64, error) { return 0, errors.ErrUnsupported }

// CheckNetns is described in the Linux version.
func (t *Table) CheckNetns() error { return errors.ErrUnsupported }
