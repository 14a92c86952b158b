package nlsock_test

import (
	"os"
	"path/filepath"
	"testing"

	"ipq/internal/nlsock"
)

// As Linux 6.18 prints it.
const netlinkTable = `sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
0000000000000000 0   3120       00000000 0        0        0     2        0        901
0000000000000000 12  3120       00000000 0        0        0     2        0        902
0000000000000000 12  3870416614 00000000 0        0        0     2        0        903
0000000000000000 12  77         00000000 0        0        0     2        0        904
0000000000000000 12  0          00000000 0        0        0     2        0        905
`

func TestOwner(t *testing.T) {
	proc := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	open := func(fd, target string) {
		t.Helper()
		fd = filepath.Join(proc, fd)
		if err := os.MkdirAll(filepath.Dir(fd), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, fd); err != nil {
			t.Fatal(err)
		}
	}
	write("self/net/netlink", netlinkTable)
	write("9/comm", "nine\n")
	open("9/fd/0", "/dev/null")
	open("9/fd/3", "socket:[901]")
	open("9/fd/4", "socket:[903]")
	write("20/comm", "twenty\n")
	open("20/fd/3", "socket:[903]")
	open("20/fd/4", "socket:[902]")
	write("3120/comm", "a\nb\n")
	open("3120/fd/7", "socket:[902]")
	open("8/fd/7", "socket:[904]") // no comm: ended

	for _, c := range []struct {
		what   string
		portid uint32
		pid    int
		comm   string
		ok     bool
	}{
		{"the process whose pid is the port before a lower one", 3120, 3120, "a\nb", true},
		{"the lowest pid", 3870416614, 9, "nine", true},
		{"ended meanwhile", 77, 0, "", false},
		{"the kernel's own", 0, 0, "", false},
		{"no such socket", 5, 0, "", false},
	} {
		pid, comm, ok := nlsock.Owner(proc, "self", c.portid)
		if pid != c.pid || comm != c.comm || ok != c.ok {
			t.Errorf("%s: %d, %q, %v; want %d, %q, %v", c.what, pid, comm, ok, c.pid, c.comm, c.ok)
		}
	}
	if _, _, ok := nlsock.Owner(proc, "9", 3120); ok {
		t.Error("an owner out of no table")
	}
}
