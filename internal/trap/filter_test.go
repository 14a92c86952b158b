//go:build linux

package trap_test

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/trap"
)

// execute runs classic BPF over the bytes of a struct seccomp_data, as the
// kernel's seccomp does: loads are of words in the byte order of the host.
func execute(t *testing.T, program []unix.SockFilter, data []byte) uint32 {
	t.Helper()
	var a uint32
	for i := 0; i < len(program); i++ {
		switch ins := program[i]; ins.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = binary.NativeEndian.Uint32(data[ins.K:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= ins.K
		case unix.BPF_JMP | unix.BPF_JA:
			i += int(ins.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == ins.K {
				i += int(ins.Jt)
			} else {
				i += int(ins.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return ins.K
		default:
			t.Fatalf("instruction %d is %#x, which the filter has no use for", i, ins.Code)
		}
	}
	t.Fatal("the filter ends without an answer")
	return 0
}

func seccompData(arch, nr uint32, args [6]uint64) []byte {
	b := binary.NativeEndian.AppendUint32(nil, nr)
	b = binary.NativeEndian.AppendUint32(b, arch)
	b = binary.NativeEndian.AppendUint64(b, 0)
	for _, a := range args {
		b = binary.NativeEndian.AppendUint64(b, a)
	}
	return b
}

const (
	x86   = unix.AUDIT_ARCH_X86_64
	i386  = unix.AUDIT_ARCH_I386
	arm64 = unix.AUDIT_ARCH_AARCH64
	arm   = unix.AUDIT_ARCH_ARM
	x32   = 0x40000000
	high  = 0xdeadbeef << 32 // what a caller may leave in the upper half of an int
)

// calls are system calls, by the numbers of the kernel's own tables, and what
// they must be taken for: "" passes.
var calls = []struct {
	arch, nr uint32
	args     [6]uint64
	name     string
	word     int
}{
	{x86, 41, [6]uint64{16, 3, 3}, "socket", 64},
	{x86, 41, [6]uint64{16, 3, 13}, "socket", 64},
	{x86, 41, [6]uint64{16 | high, 3 | high, 13 | high}, "socket", 64},
	{x86, 41, [6]uint64{16, 3, 0}, "", 0},
	{x86, 41, [6]uint64{16, 3, 12}, "", 0},
	{x86, 41, [6]uint64{2, 3, 3}, "", 0},
	{x86, 41, [6]uint64{1, 5, 13}, "", 0},
	{x86, 49, [6]uint64{9, 1, 12}, "bind", 64},
	{x86, 51, [6]uint64{9, 1, 12}, "getsockname", 64},
	{x86, 41 | x32, [6]uint64{16, 3, 3}, "socket", 32},
	{x86, 49 | x32, [6]uint64{9, 1, 12}, "bind", 32},
	{x86, 51 | x32, [6]uint64{9, 1, 12}, "getsockname", 32},
	{x86, 0, [6]uint64{16, 3, 3}, "", 0},
	{x86, 42, [6]uint64{16, 3, 3}, "", 0},  // connect
	{x86, 102, [6]uint64{1, 1, 1}, "", 0},  // getuid
	{x86, 359, [6]uint64{16, 3, 3}, "", 0}, // a number of i386
	{x86, ^uint32(0), [6]uint64{16, 3}, "", 0},
	{i386, 359, [6]uint64{16, 3, 3}, "socket", 32},
	{i386, 361, [6]uint64{9, 1, 12}, "bind", 32},
	{i386, 367, [6]uint64{9, 1, 12}, "getsockname", 32},
	{i386, 102, [6]uint64{1, 0x8000}, "socketcall", 32},
	{i386, 102, [6]uint64{2, 0x8000}, "socketcall", 32},
	{i386, 102, [6]uint64{6, 0x8000}, "socketcall", 32},
	{i386, 102, [6]uint64{3, 0x8000}, "", 0},  // SYS_CONNECT
	{i386, 102, [6]uint64{11, 0x8000}, "", 0}, // SYS_SENDTO
	{i386, 41, [6]uint64{16, 3, 3}, "", 0},    // dup
	{i386, 361 | x32, [6]uint64{9, 1, 12}, "", 0},
	{arm64, 198, [6]uint64{16, 3, 3}, "socket", 64},
	{arm64, 200, [6]uint64{9, 1, 12}, "bind", 64},
	{arm64, 204, [6]uint64{9, 1, 12}, "getsockname", 64},
	{arm, 281, [6]uint64{16, 3, 13}, "socket", 32},
	{arm, 282, [6]uint64{9, 1, 12}, "bind", 32},
	{arm, 286, [6]uint64{9, 1, 12}, "getsockname", 32},
	{arm, 102, [6]uint64{1, 0x8000}, "", 0}, // no socketcall with EABI
	{unix.AUDIT_ARCH_S390X, 102, [6]uint64{1, 0x8000}, "", 0},
	{0, 0, [6]uint64{}, "", 0},
}

func TestFilter(t *testing.T) {
	program, err := trap.Filter()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		want := uint32(unix.SECCOMP_RET_ALLOW)
		if c.name != "" {
			want = unix.SECCOMP_RET_USER_NOTIF
		}
		if got := execute(t, program, seccompData(c.arch, c.nr, c.args)); got != want {
			t.Errorf("arch %#x call %#x %x: filter says %#x, want %#x", c.arch, c.nr, c.args, got, want)
		}
		if c.name == "" {
			continue
		}
		if name, word := trap.Decode(c.arch, c.nr, c.args); name != c.name || word != c.word {
			t.Errorf("arch %#x call %#x: decoded as %s of %d bits, want %s of %d", c.arch, c.nr, name, word, c.name, c.word)
		}
	}
}

// FuzzFilter: whatever the filter picks the supervisor has a name for, and what
// it lets pass is none of the calls that matter.
func FuzzFilter(f *testing.F) {
	for _, c := range calls {
		f.Add(c.arch, c.nr, c.args[0], c.args[1], c.args[2])
	}
	program, err := trap.Filter()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, arch, nr uint32, a0, a1, a2 uint64) {
		args := [6]uint64{a0, a1, a2}
		picked := execute(t, program, seccompData(arch, nr, args)) == unix.SECCOMP_RET_USER_NOTIF
		name, _ := trap.Decode(arch, nr, args)
		ours := false
		switch name {
		case "socket":
			ours = uint32(a0) == unix.AF_NETLINK && (uint32(a2) == 3 || uint32(a2) == 13)
			if trap.Wants(a0, a1, a2) && !picked {
				t.Errorf("a socket that is wanted is not picked")
			}
		case "bind", "getsockname":
			ours = true
		case "socketcall":
			ours = uint32(a0) == 1 || uint32(a0) == 2 || uint32(a0) == 6
		}
		if picked != ours {
			t.Errorf("%s(%#x, %#x, %#x): picked %v, want %v", name, a0, a1, a2, picked, ours)
		}
	})
}

func TestWants(t *testing.T) {
	for _, tt := range []struct {
		domain, kind, protocol uint64
		want                   bool
	}{
		{16, 3, 3, true},
		{16, 2, 13, true},
		{16 | high, 3 | high, 3 | high, true},
		{16, 3 | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, 3, true},
		{16, 1, 3, false},
		{16, 5, 3, false},
		{16, 3 | 0x1000, 3, false},
		{16, 0xffffffff, 3, false},
		{16, 3, 4, false},
		{2, 3, 3, false},
	} {
		if got := trap.Wants(tt.domain, tt.kind, tt.protocol); got != tt.want {
			t.Errorf("socket(%#x, %#x, %#x): wanted %v, want %v", tt.domain, tt.kind, tt.protocol, got, tt.want)
		}
	}
}
