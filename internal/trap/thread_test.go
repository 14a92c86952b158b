//go:build linux

package trap_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/trap"
)

func TestParseStatus(t *testing.T) {
	for _, tt := range []struct {
		status   string
		pid      uint32
		netAdmin bool
		bad      bool
	}{
		{"Name:\tx\nTgid:\t12\nNStgid:\t12\nCapEff:\t000001fffeffffff\n", 12, true, false},
		{"Tgid:\t12\nNStgid:\t12\t7\t3\nCapEff:\t0000000000000000\n", 3, false, false}, // in a pid namespace, in another
		{"Tgid:\t12\nCapEff:\t0000000000001000\n", 12, true, false},                    // no CONFIG_PID_NS
		{"Name:\tTgid: 5\nTgid:\t12\n", 12, false, false},
		{"Tgid:\t12\nUid:\t1\t2\t3\t4\n", 12, false, false},
		{"Tgid:\t12\nUid:\t1\t-2\t3\t4\n", 0, false, true},
		{"Tgid:\t12\nUid:\t1\t2\n", 0, false, true},
		{"Tgid:\t-1\n", 0, false, true},
		{"Tgid:\t4294967296\n", 0, false, true},
		{"CapEff:\tzz\nTgid:\t1\n", 0, false, true},
		{"Tgid:\nName\n\n", 0, false, true},
		{"", 0, false, true},
	} {
		pid, netAdmin, err := trap.ParseStatus([]byte(tt.status))
		if pid != tt.pid || netAdmin != tt.netAdmin || err != nil != tt.bad {
			t.Errorf("%q: process %d, admin %v, %v; want %d, %v", tt.status, pid, netAdmin, err, tt.pid, tt.netAdmin)
		}
	}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if pid, _, err := trap.ParseStatus(b); err != nil || int(pid) != os.Getpid() {
		t.Errorf("this process is %d: %v; want %d", pid, err, os.Getpid())
	}
}

func TestParseSocketLink(t *testing.T) {
	for link, want := range map[string]uint64{
		"socket:[4711]":                 4711,
		"socket:[18446744073709551615]": 1<<64 - 1,
		"socket:[18446744073709551616]": 0,
		"socket:[]":                     0,
		"socket:[12":                    0,
		"socket:[-1]":                   0,
		"/tmp/socket:[12]":              0,
		"pipe:[12]":                     0,
		"anon_inode:[eventfd]":          0,
		"":                              0,
	} {
		if got, ok := trap.ParseSocketLink(link); ok != (want != 0) || ok && got != want {
			t.Errorf("%q is socket %d, %v; want %d", link, got, ok, want)
		}
	}
}

func FuzzParseMapping(f *testing.F) {
	f.Add(uint64(0x7f0000000000), uint64(0x7f0000001000), "rw-p", " 00000000 00:00 0  [heap]")
	f.Add(uint64(0), uint64(0), "", "")
	f.Fuzz(func(t *testing.T, from, to uint64, permissions, rest string) {
		trap.ParseMapping(rest) // anything at all
		if bytes.ContainsAny([]byte(permissions), " ") {
			return
		}
		line := fmt.Sprintf("%08x-%08x %s %s", from, to, permissions, rest)
		gotFrom, gotTo, gotPermissions, ok := trap.ParseMapping(line)
		if !ok || gotFrom != from || gotTo != to || gotPermissions != permissions {
			t.Errorf("%q is %x to %x %q, %v", line, gotFrom, gotTo, gotPermissions, ok)
		}
	})
}

// FuzzAddress: what is written is read as the same, and what is refused is what
// netlink refuses.
func FuzzAddress(f *testing.F) {
	f.Add(trap.AppendAddress(nil, 77, 1))
	f.Add(trap.AppendAddress([]byte{}, 0, 0)[:11])
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		port, groups, errno := trap.ParseAddress(b)
		bad := len(b) < 12 || b[0] != 16 || b[1] != 0
		if bad != (errno == unix.EINVAL) || !bad && errno != 0 {
			t.Fatalf("%x: %v", b, errno)
		}
		if bad {
			return
		}
		again := trap.AppendAddress(nil, port, groups)
		b[2], b[3] = 0, 0 // nl_pad
		if !bytes.Equal(again, b[:12]) {
			t.Errorf("%x is port %d, groups %d, which is written as %x", b, port, groups, again)
		}
	})
}

// TestHiddenBind: a program whose memory cannot be read gets what libipq asks
// for, and still no more than netlink would give it.
func TestHiddenBind(t *testing.T) {
	if port, errno := trap.BindHidden(12, 1234); port != 1234 || errno != 0 {
		t.Errorf("port %d, %v; want 1234", port, errno)
	}
	if _, errno := trap.BindHidden(11, 1234); errno != unix.EINVAL {
		t.Errorf("a short address: %v; want EINVAL", errno)
	}
}
