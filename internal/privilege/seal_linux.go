package privilege

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Seal sets no_new_privs and puts a seccomp filter on all threads of the process, for good. The filter refuses, with EPERM,
// what the process does not do and an intruder would: to execute programs, to look into other processes, to mount, to
// load code into the kernel, to change namespaces, ids and the clock; and, unless needs has them, to open files for
// writing, to change what is in a directory but for removing from it, and to reach Unix sockets by their names.
//
// It is a list of what is refused and not of what is allowed, so that it holds for any version of Go. Where the kernel has
// no such filters (CONFIG_SECCOMP_FILTER), or they are not known for this architecture, the error is
// errors.ErrUnsupported, and the process may go on without. Requires at least Linux 3.17.
func Seal(needs Needs) error {
	// The kernel copies it to the other threads together with the filter.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("privilege: prctl(PR_SET_NO_NEW_PRIVS): %w", err)
	}
	arch, ok := archs[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("privilege: no seccomp filter is known for %s: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	program := filter(arch, needs)
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// SPEC_ALLOW: without it kernels before 5.16 make every thread slower. Requires at least Linux 4.17.
	errno := seccomp(unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, &fprog)
	if errno == unix.EINVAL {
		errno = seccomp(unix.SECCOMP_FILTER_FLAG_TSYNC, &fprog)
	}
	switch errno {
	case 0:
		return nil
	case unix.ENOSYS, unix.EINVAL:
		return fmt.Errorf("privilege: seccomp: %w: %w (the kernel needs CONFIG_SECCOMP_FILTER)", errno, errors.ErrUnsupported)
	}
	return fmt.Errorf("privilege: seccomp: %w", errno)
}

// seccomp installs a filter. With TSYNC the result may also be the id of a thread that has filters of its own.
func seccomp(flags uintptr, fprog *unix.SockFprog) unix.Errno {
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(fprog)))
	if errno == 0 && thread != 0 {
		return unix.ESRCH
	}
	return errno
}
