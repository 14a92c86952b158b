//go:build linux && (arm64 || loong64 || riscv64)

package privilege

import "golang.org/x/sys/unix"

// opens are the calls that open files by a name.
var opens = []open{{unix.SYS_OPENAT, 2}}

// writingByPath are the calls of writing that only some architectures have.
var writingByPath []uintptr
