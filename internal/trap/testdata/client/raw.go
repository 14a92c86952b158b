//go:build linux

package main

import "syscall"

// rawFork forks with no more care than the caller takes.
func rawFork() (uintptr, uintptr, syscall.Errno) {
	return syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
}

func errnoErr(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
