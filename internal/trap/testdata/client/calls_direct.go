//go:build linux && !386

package main

import (
	"syscall"
	"unsafe"
)

const (
	directSocket      = syscall.SYS_SOCKET
	directBind        = syscall.SYS_BIND
	directGetsockname = syscall.SYS_GETSOCKNAME
)

func bindRaw(fd int, address unsafe.Pointer, length int) error {
	return errnoErr(rawBind(fd, address, length))
}

func getsockname(fd int, address, length unsafe.Pointer) error {
	_, _, errno := syscall.RawSyscall(syscall.SYS_GETSOCKNAME, uintptr(fd), uintptr(address), uintptr(length))
	return errnoErr(errno)
}

func recvfrom(fd int, p []byte, from, length unsafe.Pointer) (int, error) {
	n, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, uintptr(from), uintptr(length))
	return int(n), errnoErr(errno)
}

func rawSocket(domain, kind, protocol int) (uintptr, syscall.Errno) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, uintptr(domain), uintptr(kind), uintptr(protocol))
	return fd, errno
}

func rawBind(fd int, address unsafe.Pointer, length int) syscall.Errno {
	_, _, errno := syscall.RawSyscall(syscall.SYS_BIND, uintptr(fd), uintptr(address), uintptr(length))
	return errno
}

func otherSocketcalls() {}
