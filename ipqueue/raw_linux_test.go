package ipqueue_test

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// recvfrom is the system call, with the source address as the kernel gave it.
func recvfrom(t testing.TB, fd int, b []byte, flags int) (int, []byte) {
	t.Helper()
	from := make([]byte, 110)
	size := uint32(len(from))
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
			uintptr(flags), uintptr(unsafe.Pointer(&from[0])), uintptr(unsafe.Pointer(&size)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			t.Fatalf("recvfrom: %v", errno)
		}
		return int(n), from[:size]
	}
}

// sendtoNetlink is sendto with a struct sockaddr_nl, as libipq calls it.
func sendtoNetlink(fd int, b []byte, groups uint32) error {
	to := unix.RawSockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0,
		uintptr(unsafe.Pointer(&to)), unsafe.Sizeof(to))
	if errno != 0 {
		return errno
	}
	return nil
}

// setGroups sets the supplementary groups of the calling thread alone.
func setGroups(t testing.TB, groups []uint32) {
	t.Helper()
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		t.Errorf("setgroups: %v", errno)
	}
}

// ownAddress is getsockname, as the kernel gave it.
func ownAddress(t testing.TB, fd int) []byte {
	t.Helper()
	name := make([]byte, 110)
	size := uint32(len(name))
	if _, _, errno := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&size))); errno != 0 {
		t.Fatalf("getsockname: %v", errno)
	}
	return name[:size]
}

func rawAddress(trap uintptr, fd int, address []byte) unix.Errno {
	_, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&address[0])), uintptr(len(address)))
	return errno
}
