// Package privilege takes from a process that lives long what it does not need: capabilities, by [Keep], before it opens
// anything; and system calls that only a process under foreign control would make, by [Seal], when it has opened all.
//
// Capabilities are an attribute of each thread, and a Go process has threads before its first line runs. The C library
// changes all of them with a signal handler, and so does package syscall, but not in a program that is linked with cgo.
// Keep therefore changes the thread that it runs on, and has that one execute the program again: the threads of the new
// execution inherit what it had, those that the runtime starts later and those in other namespaces included.
//
// A seccomp filter needs no such detour: the kernel itself puts it on every thread, together with no_new_privs.
package privilege

import (
	"math/bits"
	"strconv"
	"strings"
)

// Capabilities is a set of capabilities, as /proc/PID/status prints it: bit n is the capability with the number n.
type Capabilities uint64

// Those that this program has a use for.
const (
	DACOverride Capabilities = 1 << 1  // CAP_DAC_OVERRIDE
	Kill        Capabilities = 1 << 5  // CAP_KILL
	NetAdmin    Capabilities = 1 << 12 // CAP_NET_ADMIN
	SysPtrace   Capabilities = 1 << 19 // CAP_SYS_PTRACE
)

// names are in the order of include/uapi/linux/capability.h.
var names = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
	"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
	"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// Count is how many capabilities are in the set.
func (c Capabilities) Count() int { return bits.OnesCount64(uint64(c)) }

// String lists the names, "CAP_NET_ADMIN CAP_SYS_PTRACE", or is "none". A capability that is newer than this program is
// "CAP_41".
func (c Capabilities) String() string {
	if c == 0 {
		return "none"
	}
	var list []string
	for rest := uint64(c); rest != 0; rest &= rest - 1 {
		n := bits.TrailingZeros64(rest)
		name := strconv.Itoa(n)
		if n < len(names) {
			name = names[n]
		}
		list = append(list, "CAP_"+name)
	}
	return strings.Join(list, " ")
}

// Needs are what a process does after Seal, of what the filter otherwise refuses.
type Needs uint8

const (
	WriteFiles  Needs = 1 << iota // opens files to write to them, makes, renames and changes files
	UnixSockets                   // makes Unix sockets that it connects or binds; pairs of connected streams or packets are always allowed
)
