//go:build linux

package nlsock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// QueueTable is the kernel's table of bound queues, in the network namespace of the thread that opens it.
const QueueTable = "/proc/thread-self/net/netfilter/nfnetlink_queue"

// skMeminfoDrops is the place of the drop counter in what SO_MEMINFO gives (SK_MEMINFO_DROPS).
const skMeminfoDrops = 8

// Drops is how many messages the kernel could not put into the socket's receive buffer. Requires at least Linux 4.12;
// 0 before.
func (c *Conn) Drops() (drops uint64) {
	if !c.netlink {
		return 0
	}
	c.Control(func(fd int) {
		var info [skMeminfoDrops + 1]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 && size >= uint32(unsafe.Sizeof(info)) {
			drops = uint64(info[skMeminfoDrops])
		}
	})
	return drops
}

// MayAdminister reports whether the process has CAP_NET_ADMIN in its own user namespace.
func MayAdminister() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
