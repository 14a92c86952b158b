package main

import (
	"fmt"
	"syscall"
	"unsafe"
)

const (
	directSocket      = 359
	directBind        = 361
	directGetsockname = 367
)

// nameArgs are what socketcall takes for a getsockname.
type nameArgs struct {
	fd              uintptr
	address, length unsafe.Pointer
}

// bindArgs are what socketcall takes for a bind.
type bindArgs struct {
	fd      uintptr
	address unsafe.Pointer
	length  uintptr
}

func bindRaw(fd int, address unsafe.Pointer, length int) error {
	return errnoErr(rawBind(fd, address, length))
}

func getsockname(fd int, address, length unsafe.Pointer) error {
	args := nameArgs{uintptr(fd), address, length}
	_, _, errno := syscall.RawSyscall(syscall.SYS_SOCKETCALL, 6, uintptr(unsafe.Pointer(&args)), 0)
	return errnoErr(errno)
}

func recvfrom(fd int, p []byte, from, length unsafe.Pointer) (int, error) {
	args := struct {
		fd           uintptr
		buffer       unsafe.Pointer
		size, flags  uintptr
		from, length unsafe.Pointer
	}{uintptr(fd), unsafe.Pointer(&p[0]), uintptr(len(p)), 0, from, length}
	n, _, errno := syscall.Syscall(syscall.SYS_SOCKETCALL, 12, uintptr(unsafe.Pointer(&args)), 0)
	return int(n), errnoErr(errno)
}

func rawSocket(domain, kind, protocol int) (uintptr, syscall.Errno) {
	args := [3]int{domain, kind, protocol}
	fd, _, errno := syscall.RawSyscall(syscall.SYS_SOCKETCALL, 1, uintptr(unsafe.Pointer(&args)), 0)
	return fd, errno
}

func rawBind(fd int, address unsafe.Pointer, length int) syscall.Errno {
	args := bindArgs{uintptr(fd), address, uintptr(length)}
	_, _, errno := syscall.RawSyscall(syscall.SYS_SOCKETCALL, 2, uintptr(unsafe.Pointer(&args)), 0)
	return errno
}

func otherSocketcalls() {
	for _, call := range []uintptr{0, 1, 2, 6, 21, 99} {
		_, _, errno := syscall.RawSyscall(syscall.SYS_SOCKETCALL, call, 4096, 0)
		fmt.Println("socketcall with bad arguments:", call, name(errnoErr(errno)))
	}
}
