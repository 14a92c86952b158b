package rules

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// CheckNetns returns an error when Plan.Netns no longer names the network namespace that the rules are in:
// [ErrNetnsReplaced] when another one is there, as after the restart of a container, and os.ErrNotExist when none is.
// The rules stay where they are, and their socket keeps that namespace alive, so nothing else fails: to follow, call it
// now and then, and at ErrNetnsReplaced Close the table and Install the plan again. It is nil where Plan.Netns was
// empty.
func (t *Table) CheckNetns() error {
	if t.path == "" || t.netns == nil {
		return nil
	}
	now, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("rules: table %s: network namespace: %w", t.name, err)
	}
	if os.SameFile(now, t.netns) {
		return nil
	}
	// "ip netns add" makes an empty file first, and mounts the namespace over it.
	var fs unix.Statfs_t
	if err := unix.Statfs(t.path, &fs); err != nil || fs.Type != unix.NSFS_MAGIC {
		return fmt.Errorf("rules: table %s: %w: %s is no network namespace", t.name, os.ErrNotExist, t.path)
	}
	return fmt.Errorf("rules: table %s: %w: %s", t.name, ErrNetnsReplaced, t.path)
}
