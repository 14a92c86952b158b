package nlsock

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// netlinkNetfilter is NETLINK_NETFILTER of linux/netlink.h, as the table of
// sockets prints it.
const netlinkNetfilter = "12"

// Owner finds the process that has the netfilter netlink socket with a port id
// open: the owner of a queue. Proc is where the proc file system is mounted,
// and task a directory in it ("self", "thread-self", a pid) whose network
// namespace is the socket's.
//
// Several processes may share the socket: the one whose pid is the port id
// comes first, then the lowest pid. Comm is the kernel's name for it, at most
// 15 bytes that the process chose itself: escape it before printing. Owner
// reports false when no process has the socket, or none that the caller may
// look into.
func Owner(proc, task string, portid uint32) (pid int, comm string, ok bool) {
	table, err := os.ReadFile(filepath.Join(proc, task, "net/netlink"))
	if err != nil {
		return 0, "", false
	}
	inode := socketInode(table, portid)
	if inode == "" {
		return 0, "", false
	}
	pid, ok = socketHolder(proc, "socket:["+inode+"]", int(portid))
	if !ok {
		return 0, "", false
	}
	name, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "comm"))
	if err != nil {
		return 0, "", false // it ended meanwhile, and its socket with it
	}
	return pid, string(bytes.TrimSuffix(name, []byte("\n"))), true
}

// socketInode returns the inode of the netfilter socket with a port id, out of
// the text of /proc/net/netlink:
//
//	sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
//	0000000000000000 12  3120       00000000 0        0        0     2        0        11519
func socketInode(table []byte, portid uint32) string {
	port := strconv.FormatUint(uint64(portid), 10)
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) >= 10 && string(f[1]) == netlinkNetfilter && string(f[2]) == port {
			return string(f[9])
		}
	}
	return ""
}

// socketHolder returns a process that has a descriptor of the socket.
func socketHolder(proc, socket string, first int) (pid int, ok bool) {
	if holds(proc, first, socket) {
		return first, true
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0, false
	}
	pids := make([]int, 0, len(entries))
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	for _, pid := range pids {
		if holds(proc, pid, socket) {
			return pid, true
		}
	}
	return 0, false
}

func holds(proc string, pid int, socket string) bool {
	dir := filepath.Join(proc, strconv.Itoa(pid), "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if target, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && target == socket {
			return true
		}
	}
	return false
}
