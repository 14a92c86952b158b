//go:build !linux

package privilege

import "context"

// Keep does nothing where there are no capabilities.
func Keep(context.Context, Capabilities) error { return nil }

// Join does nothing where groups do not matter.
func Join(int) {}

// Seal does nothing where there are no seccomp filters.
func Seal(Needs) error { return nil }
