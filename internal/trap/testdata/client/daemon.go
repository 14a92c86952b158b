//go:build linux

package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// daemon forks, with its socket made before or after; the parent ends at once
// and the child goes on when the parent is gone, as a daemon does. Only raw
// system calls work in the child of a Go program that has forked.
func daemon(args []string) {
	before := args[0] == "after-socket"
	fd := -1
	if before {
		fd = netlink(3)
	}
	var pipe [2]int
	syscall.Pipe(pipe[:])
	address := nladdr(16, uint32(os.Getpid()), 0)
	pid, _, errno := rawFork()
	if errno != 0 {
		say("fork:", name(errno))
		os.Exit(1)
	}
	if pid != 0 {
		os.Exit(7)
	}
	var b [64]byte
	syscall.RawSyscall(syscall.SYS_CLOSE, 2, 0, 0)
	syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(pipe[1]), 0, 0)
	syscall.RawSyscall(syscall.SYS_READ, uintptr(pipe[0]), uintptr(unsafe.Pointer(&b)), 1) // EOF: the parent is gone
	syscall.RawSyscall(syscall.SYS_READ, 0, uintptr(unsafe.Pointer(&b)), 1)                // the test has seen it
	status := byte('0')
	if !before {
		r, errno := rawSocket(syscall.AF_NETLINK, syscall.SOCK_RAW, 3)
		if errno != 0 {
			status = 's'
		}
		fd = int(r)
	}
	if errno := rawBind(fd, unsafe.Pointer(&address), 12); errno != 0 {
		status = 'b'
	}
	message := [...]byte{'d', 'a', 'e', 'm', 'o', 'n', ' ', status}
	syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&message)), uintptr(len(message)))
	n, _, _ := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b)), uintptr(len(b)))
	syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&b)), n)
	syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
}

// execute replaces itself by a program that inherits the socket.
func execute(args []string) {
	fd := netlink(3)
	bind(fd, 5)
	say("exec:", name(syscall.Exec(args[0], []string{args[0], "inherited", fmt.Sprint(fd)}, os.Environ())))
}

func inherited(args []string) {
	fd := number(args[0])
	sayPlain(fd)
	exchange(fd, "inherited")
	another := netlink(3)
	say("bind:", name(bind(another, 5)))
	say("bind:", name(bind(another, uint32(os.Getpid()))))
	sayName(another)
	exchange(another, "another")
}
