//go:build linux

package tests_test

import (
	"os/exec"
	"strings"
	"testing"
)

// different is what system calls make of the descriptor, and what they made of
// ip_queue's, where that is not the same. docs/libipq.md has it as a table.
var different = map[string][2]string{
	"SO_DOMAIN":                        {"16", "1"},
	"SO_TYPE":                          {"3", "5"},
	"getsockname":                      {"family 16 length 12 port pid groups 0", "family 1 length 2 port none groups none"},
	"getpeername":                      {"family 16 length 12 port 0 groups 0", "family 1 length 12 port 0 groups some"},
	"recvmsg":                          {"family 16 length 12 port 0 groups 0", "family 1 length 12 port 0 groups some"},
	"SCM_CREDENTIALS":                  {"process 0", "process other"},
	"set NETLINK_NO_ENOBUFS":           {"0", "errno 95"},
	"set NETLINK_PKTINFO":              {"0", "errno 95"},
	"FIONREAD":                         {"errno 25", "1"},
	"connect to port 0":                {"0", "errno 22"},
	"sendto to a port that nobody has": {"errno 111", "1"},
	"listen":                           {"errno 95", "errno 22"},
	"shutdown":                         {"errno 95", "0"},
}

// TestDescriptor compares it with a netlink socket of the kernel's.
func TestDescriptor(t *testing.T) {
	everyWay(t, func(t *testing.T, s *starter) {
		const source = "descriptor/descriptor.c"
		p := s.start(t, source, nil)
		netlink, err := exec.Command(compile(t, source, s.target), "netlink").Output()
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for line := range strings.Lines(string(netlink)) {
			name, want, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			answeredByRun := name == "getsockname" && len(s.before) > 0
			if d, ok := different[name]; ok {
				if seen++; want != d[0] {
					t.Errorf("%s of netlink: %s, want %s", name, want, d[0])
				}
				if !answeredByRun {
					want = d[1]
				}
			}
			p.says(name + ": " + want)
		}
		if seen != len(different) {
			t.Errorf("%d of %d differences were seen", seen, len(different))
		}
		p.exits(0)
	})
}
