package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// mayAnswer reports whether the kernel takes verdicts from a process for packets of a network namespace: it has
// CAP_NET_ADMIN in the user namespace that owns the network namespace. Where that cannot be found out it is true.
func mayAnswer(proc string, pid int, netns string) bool {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	var own unix.Stat_t
	if unix.Stat(filepath.Join(dir, "ns/user"), &own) != nil {
		return true
	}
	owners := userNamespaces(netns, unix.NS_GET_USERNS)
	if len(owners) == 0 {
		return true
	}
	i := slices.IndexFunc(owners, func(u userNamespace) bool { return u.inode == own.Ino })
	if i < 0 {
		// A process in a namespace below has no rights above. Other namespaces are out of sight.
		below := userNamespaces(filepath.Join(dir, "ns/user"), unix.NS_GET_PARENT)
		return !slices.ContainsFunc(below, func(u userNamespace) bool { return u.inode == owners[0].inode })
	}
	uid, capable := effective(dir)
	if capable || i > 0 && uid == owners[i-1].owner { // whoever makes a namespace has every right in it
		return true
	}
	// Threads may differ.
	for _, tid := range numbers(filepath.Join(dir, "task")) {
		if _, capable := effective(filepath.Join(dir, "task", tid)); capable {
			return true
		}
	}
	return false
}

type userNamespace struct {
	inode uint64
	owner uint32 // the user that made it
}

// userNamespaces lists the user namespace that a request gives for a namespace, and those above it as far as they are in
// sight.
func userNamespaces(file string, request uint) (list []userNamespace) {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for err == nil {
		var next int
		next, err = unix.IoctlRetInt(fd, request)
		unix.Close(fd)
		if err != nil {
			break
		}
		fd, request = next, unix.NS_GET_PARENT
		var st unix.Stat_t
		var owner uint32
		if err = unix.Fstat(fd, &st); err == nil {
			owner, err = unix.IoctlGetUint32(fd, unix.NS_GET_OWNER_UID)
		}
		if err != nil {
			unix.Close(fd)
			break
		}
		list = append(list, userNamespace{st.Ino, owner})
	}
	return list
}

// effective reads the effective user of a process or thread, and whether it has CAP_NET_ADMIN in its user namespace. A
// process that cannot be read is taken for capable.
func effective(dir string) (uid uint32, capable bool) {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, true
	}
	capable = true
	for line := range bytes.Lines(status) {
		f := bytes.Fields(line)
		switch {
		case len(f) >= 3 && string(f[0]) == "Uid:": // real, effective, …
			n, _ := strconv.ParseUint(string(f[2]), 10, 32)
			uid = uint32(n)
		case len(f) >= 2 && string(f[0]) == "CapEff:":
			if set, err := strconv.ParseUint(string(f[1]), 16, 64); err == nil {
				capable = set&(1<<unix.CAP_NET_ADMIN) != 0
			}
		}
	}
	return uid, capable
}
