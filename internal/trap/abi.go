//go:build linux

package trap

import "golang.org/x/sys/unix"

// Numbers that x/sys does not have for every architecture.
const (
	netlinkFirewall = 3  // NETLINK_FIREWALL
	netlinkIP6FW    = 13 // NETLINK_IP6_FW

	x32Bit = 0x40000000 // __X32_SYSCALL_BIT

	socketcallSocket      = 1 // SYS_SOCKET
	socketcallBind        = 2 // SYS_BIND
	socketcallGetsockname = 6 // SYS_GETSOCKNAME
)

// An abi is one way to make system calls. One process can use several: a 64-bit
// program executes a 32-bit one, or makes 32-bit calls itself.
type abi struct {
	arch        uint32 // AUDIT_ARCH_*, as seccomp_data has it
	ignore      uint32 // bits of the number that do not choose the call
	socket      uint32
	bind        uint32
	getsockname uint32
	socketcall  uint32 // 0 where there is none
	word        int    // bits in a long
}

// abis are those that are caught: all little-endian, which the filter relies on
// when it looks at the low halves of arguments. arch is never 0.
var abis = []abi{
	{arch: unix.AUDIT_ARCH_X86_64, ignore: x32Bit, socket: 41, bind: 49, getsockname: 51, word: 64},
	{arch: unix.AUDIT_ARCH_I386, socket: 359, bind: 361, getsockname: 367, socketcall: 102, word: 32},
	{arch: unix.AUDIT_ARCH_AARCH64, socket: 198, bind: 200, getsockname: 204, word: 64},
	{arch: unix.AUDIT_ARCH_ARM, socket: 281, bind: 282, getsockname: 286, word: 32}, // EABI
}

// abiOf returns the entry of abis for an AUDIT_ARCH, and whether there is one.
func abiOf(arch uint32) (abi, bool) {
	for _, a := range abis {
		if a.arch == arch {
			return a, true
		}
	}
	return abi{}, false
}
