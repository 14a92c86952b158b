//go:build linux && !arm64 && !loong64 && !riscv64

package privilege

import "golang.org/x/sys/unix"

// opens are the calls that open files by a name.
var opens = []open{{unix.SYS_OPEN, 1}, {unix.SYS_OPENAT, 2}}

// writingByPath are the calls of writing in the form that newer architectures no longer have.
var writingByPath = []uintptr{
	unix.SYS_CREAT, unix.SYS_MKDIR, unix.SYS_MKNOD, unix.SYS_LINK, unix.SYS_SYMLINK, unix.SYS_RENAME, unix.SYS_RENAMEAT,
	unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN,
}
