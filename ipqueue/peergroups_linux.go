package ipqueue

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// peerGroups returns the supplementary groups of the process that connected to
// a Unix socket, nil where the kernel does not tell (SO_PEERGROUPS came with
// Linux 4.13) or there are more than 1,024.
func peerGroups(fd int) []uint32 {
	groups := make([]uint32, 1024)
	size := uint32(len(groups) * 4)
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil
	}
	return groups[:size/4]
}
