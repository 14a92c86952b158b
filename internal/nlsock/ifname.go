//go:build linux

package nlsock

import (
	"golang.org/x/sys/unix"
)

// InterfaceName is the name of the interface with this index in the network namespace that the socket belongs to, and
// "" when there is none. It asks the kernel each time: names change, and indexes are not reused soon.
func (c *Conn) InterfaceName(index uint32) string {
	if index == 0 {
		return ""
	}
	// A netlink socket has no device requests of its own and hands them to the kernel's generic code, which looks the
	// device up in the socket's namespace rather than the caller's.
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return ""
	}
	ifr.SetUint32(index)
	ok := false
	if c.Control(func(fd int) { ok = unix.IoctlIfreq(fd, unix.SIOCGIFNAME, ifr) == nil }) != nil || !ok {
		return ""
	}
	return ifr.Name()
}
