package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mountedNamespace is the inode of the namespace that is mounted on a file.
func mountedNamespace(file string) (uint64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(file, &fs); err != nil {
		return 0, err
	}
	if fs.Type != unix.NSFS_MAGIC {
		return 0, fmt.Errorf("%s: no namespace is mounted on it", file)
	}
	var st unix.Stat_t
	err := unix.Stat(file, &st)
	return st.Ino, err
}
