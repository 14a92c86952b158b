//go:build linux

package nlsock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// QueueTable is the kernel's table of bound queues, in the network namespace of the thread that opens it.
const QueueTable = "/proc/thread-self/net/netfilter/nfnetlink_queue"

// Places in what SO_MEMINFO gives. Source: include/uapi/linux/sock_diag.h.
const (
	memUsed  = 0 // SK_MEMINFO_RMEM_ALLOC
	memSize  = 1 // SK_MEMINFO_RCVBUF
	memDrops = 8 // SK_MEMINFO_DROPS
)

// Drops is how many messages the kernel could not put into the socket's receive buffer. Requires at least Linux 4.12;
// 0 before.
func (c *Conn) Drops() uint64 { return uint64(c.memory()[memDrops]) }

// Backlog is how many bytes of the socket's receive buffer are taken, and its size, both as the kernel counts them: twice
// what was asked for. Requires at least Linux 4.12; 0 before, and for a socketpair.
func (c *Conn) Backlog() (used, size int) {
	info := c.memory()
	return int(info[memUsed]), int(info[memSize])
}

func (c *Conn) memory() (info [memDrops + 1]uint32) {
	if !c.netlink {
		return info
	}
	c.Control(func(fd int) {
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 || size < uint32(unsafe.Sizeof(info)) {
			clear(info[:])
		}
	})
	return info
}

// MayAdminister reports whether the process has CAP_NET_ADMIN in its own user namespace.
func MayAdminister() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
