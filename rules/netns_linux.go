package rules

import (
	"fmt"

	"ipq/internal/nlsock"
)

// CheckNetns returns an error when Plan.Netns no longer names the network namespace that the rules are in:
// [ErrNetnsReplaced] when another one is there, as after the restart of a container, and os.ErrNotExist when none is.
// The rules stay where they are, and their socket keeps that namespace alive, so nothing else fails: to follow, call it
// now and then, and at ErrNetnsReplaced Close the table and Install the plan again. It is nil where Plan.Netns was
// empty.
func (t *Table) CheckNetns() error {
	if err := nlsock.CheckNetns(t.path, t.netns); err != nil {
		return fmt.Errorf("rules: table %s: %w", t.name, err)
	}
	return nil
}
