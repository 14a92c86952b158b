package privilege

import (
	"encoding/binary"
	"runtime"

	"golang.org/x/sys/unix"
)

// archs are the architectures by the names that Go and the kernel's audit have for them.
var archs = map[string]uint32{
	"amd64":   unix.AUDIT_ARCH_X86_64,
	"arm64":   unix.AUDIT_ARCH_AARCH64,
	"loong64": unix.AUDIT_ARCH_LOONGARCH64,
	"ppc64":   unix.AUDIT_ARCH_PPC64,
	"ppc64le": unix.AUDIT_ARCH_PPC64LE,
	"riscv64": unix.AUDIT_ARCH_RISCV64,
	"s390x":   unix.AUDIT_ARCH_S390X,
}

// refused are the calls that nothing in this program makes after Seal.
var refused = []uintptr{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_VM_READV, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
	// The kernel's code, and ways around this filter.
	unix.SYS_BPF, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
	unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP,
	// Namespaces, mounts, and files found without a path.
	unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT,
	unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_MOUNT_SETATTR,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_FANOTIFY_INIT,
	// Keys, ids, and what belongs to the whole machine.
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
}

// writing are the calls that change files by their names, or their owners and modes. Root owns most of a machine's files,
// and needs no capability to write to them.
var writing = []uintptr{
	unix.SYS_MKDIRAT, unix.SYS_MKNODAT, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_RENAMEAT2, unix.SYS_TRUNCATE,
	unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT,
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_SETXATTRAT,
}

// unknown are answered with ENOSYS: the filter cannot look at their arguments, which are in memory, and who calls them
// then uses an older call.
var unknown = []uintptr{unix.SYS_CLONE3, unix.SYS_OPENAT2}

// newNamespace are the flags of clone that make one.
const newNamespace = unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// openToWrite are the flags of open that lead to a file that can be written to, or make or empty one.
const openToWrite = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC

// socketType are the bits of the second argument of socket and socketpair that are no flags (SOCK_TYPE_MASK).
const socketType = 0xf

// Offsets in struct seccomp_data.
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16
)

// argument is where the low half of an argument is.
func argument(n uint32) uint32 {
	bigEndian := binary.NativeEndian.Uint16([]byte{0, 1}) == 1
	if bigEndian {
		return dataArgs + 8*n + 4
	}
	return dataArgs + 8*n
}

// cloneFlags is the argument of clone that has the flags.
func cloneFlags() uint32 {
	if runtime.GOARCH == "s390x" {
		return 1
	}
	return 0
}

// filter returns the program. For calls that it allows whatever their arguments are, which is all that happens to a
// packet, the kernel knows the result beforehand and does not run it (Linux 5.11).
func filter(arch uint32, needs Needs) []unix.SockFilter {
	refused, opens := refused, opens
	if needs&WriteFiles == 0 {
		refused = append(append(refused[:len(refused):len(refused)], writing...), writingByPath...)
	} else {
		opens = nil
	}
	eperm := uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	enosys := uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS)

	// Another architecture's calls have other numbers, so that none of them may pass.
	code := []unix.SockFilter{load(dataArch), unless(arch, 1), ret(eperm), load(dataNr)}
	if arch == unix.AUDIT_ARCH_X86_64 {
		const x32Bit = 0x40000000 // __X32_SYSCALL_BIT: the same architecture, other numbers
		code = append(code, below(x32Bit, 1), ret(eperm))
	}
	deny := func(calls []uintptr, with uint32) {
		for _, nr := range calls {
			code = append(code, equal(nr, 1), ret(with))
		}
	}
	deny(refused, eperm)
	deny(unknown, enosys)
	// Where a call of these is refused for an argument.
	anyBit := func(nr uintptr, arg, mask uint32) {
		code = append(code, equal(nr, 4), load(argument(arg)), test(mask, 1), ret(eperm), ret(unix.SECCOMP_RET_ALLOW))
	}
	anyBit(unix.SYS_CLONE, cloneFlags(), newNamespace)
	for _, o := range opens {
		anyBit(o.nr, o.flags, openToWrite)
	}
	if needs&UnixSockets == 0 {
		allow := ret(unix.SECCOMP_RET_ALLOW)
		code = append(code, equal(unix.SYS_SOCKET, 4), load(argument(0)), equal(unix.AF_UNIX, 1), ret(eperm), allow)
		// A datagram socket of a pair sends to any name all the same. (SOCK_RAW is one, too.)
		code = append(code, equal(unix.SYS_SOCKETPAIR, 7), load(argument(1)), only(socketType),
			equal(unix.SOCK_STREAM, 1), allow, equal(unix.SOCK_SEQPACKET, 1), allow, ret(eperm))
	}
	return append(code, ret(unix.SECCOMP_RET_ALLOW))
}

// open is a call that opens a file, and where its flags are.
type open struct {
	nr    uintptr
	flags uint32
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// only leaves of the value the bits of the mask.
func only(mask uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask}
}

func ret(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }

// equal skips so many instructions unless the value is k; unless skips them if it is, below if it is less.
func equal(k uintptr, skip uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(k), Jf: skip}
}

func unless(k uint32, skip uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: skip}
}

func below(k uint32, skip uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: k, Jf: skip}
}

// test skips so many instructions when no bit of the mask is set.
func test(mask uint32, skip uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: mask, Jf: skip}
}
