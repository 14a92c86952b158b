//go:build linux

package trap

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data, which the filter runs over.
const (
	dataNr   = 0
	dataArch = 4
	dataArg0 = 16 // the low half, as every ABI in abis is little-endian
	dataArg2 = 32
)

// filter returns the program that picks the calls for the supervisor. It looks
// at arguments where they say enough: a descriptor says nothing, so every bind
// and getsockname is picked. An int argument is compared in its low half only,
// because that is all the kernel looks at too.
func filter(abis []abi) ([]unix.SockFilter, error) {
	var a assembler
	a.load(dataArch)
	for i, abi := range abis {
		a.jumpEqual(abi.arch, fmt.Sprint("abi ", i))
	}
	a.jump("allow")
	for i, abi := range abis {
		a.label(fmt.Sprint("abi ", i))
		a.load(dataNr)
		if abi.ignore != 0 {
			a.and(^abi.ignore)
		}
		a.jumpEqual(abi.socket, "socket")
		a.jumpEqual(abi.bind, "notify")
		a.jumpEqual(abi.getsockname, "notify")
		if abi.socketcall != 0 {
			a.jumpEqual(abi.socketcall, "socketcall")
		}
		a.jump("allow")
	}
	a.label("socket")
	a.load(dataArg0)
	a.jumpEqual(unix.AF_NETLINK, "netlink")
	a.jump("allow")
	a.label("netlink")
	a.load(dataArg2)
	a.jumpEqual(netlinkFirewall, "notify")
	a.jumpEqual(netlinkIP6FW, "notify")
	a.jump("allow")
	a.label("socketcall")
	a.load(dataArg0)
	a.jumpEqual(socketcallSocket, "notify")
	a.jumpEqual(socketcallBind, "notify")
	a.jumpEqual(socketcallGetsockname, "notify")
	a.jump("allow")
	a.label("notify")
	a.ret(unix.SECCOMP_RET_USER_NOTIF)
	a.label("allow")
	a.ret(unix.SECCOMP_RET_ALLOW)
	return a.assemble()
}

// An assembler writes classic BPF with jumps to names. All jumps lead forward:
// the kernel takes no others.
type assembler struct {
	code   []unix.SockFilter
	labels map[string]int
	jumps  map[int]string // index of an instruction -> where it leads when taken
}

func (a *assembler) emit(code uint16, k uint32) {
	a.code = append(a.code, unix.SockFilter{Code: code, K: k})
}

func (a *assembler) load(offset uint32) { a.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset) }
func (a *assembler) and(k uint32)       { a.emit(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, k) }
func (a *assembler) ret(k uint32)       { a.emit(unix.BPF_RET|unix.BPF_K, k) }

func (a *assembler) jump(to string) {
	a.target(to)
	a.emit(unix.BPF_JMP|unix.BPF_JA, 0)
}

func (a *assembler) jumpEqual(k uint32, to string) {
	a.target(to)
	a.emit(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, k)
}

func (a *assembler) target(to string) {
	if a.jumps == nil {
		a.jumps = make(map[int]string)
	}
	a.jumps[len(a.code)] = to
}

func (a *assembler) label(name string) {
	if a.labels == nil {
		a.labels = make(map[string]int)
	}
	a.labels[name] = len(a.code)
}

func (a *assembler) assemble() ([]unix.SockFilter, error) {
	for i, to := range a.jumps {
		at, ok := a.labels[to]
		skip := at - i - 1
		switch {
		case !ok || skip < 0:
			return nil, fmt.Errorf("trap: filter: no way forward to %q", to)
		case a.code[i].Code == unix.BPF_JMP|unix.BPF_JA:
			a.code[i].K = uint32(skip)
		case skip > 255:
			return nil, fmt.Errorf("trap: filter: %q is too far away", to)
		default:
			a.code[i].Jt = uint8(skip)
		}
	}
	return a.code, nil
}
