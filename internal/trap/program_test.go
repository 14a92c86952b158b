//go:build linux

package trap_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// each runs a test with a program of each word size that this machine runs.
func each(t *testing.T, f func(t *testing.T, client string, bits int)) {
	t.Run(runtime.GOARCH, func(t *testing.T) { f(t, client(t, runtime.GOARCH), 64) })
	if runtime.GOARCH == "amd64" {
		t.Run("386", func(t *testing.T) { f(t, client(t, "386"), 32) })
	}
}

// TestScenarios runs the program of testdata/client through what old programs
// do with their sockets, and what hostile ones might.
func TestScenarios(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // %[1]d is the word size
	}{
		{"basic 3", `
bind: ok
getsockname: family 16 port pid length 12
recvfrom: hello (family 2, %[1]d bits) from port 0 address length 12
`},
		{"basic 13", `
bind: ok
getsockname: family 16 port pid length 12
recvfrom: hello (family 10, %[1]d bits) from port 0 address length 12
`},
		{"direct 3", `
socket: ok
bind: ok
getsockname: ok family 16 length 12
recvfrom: hello (family 2, %[1]d bits) from port 0 address length 12
`},
		{"unbound 3", `
recvfrom: hello (family 2, %[1]d bits) from port 0 address length 12
getsockname: family 16 port pid length 12
`},
		{"autobind", `
bind: ok
getsockname: family 16 port pid length 12
bind: ok
getsockname: family 16 port -4097 length 12
getsockname: family 16 port -4098 length 12
getsockname: family 16 port pid length 12
`},
		{"ports", `
a to 77: ok
a to 77 again: ok
a to 78: errno 22
a to 0: errno 22
b to 77: errno 98
other protocol to 77: ok
b to 77, a open as a duplicate: errno 98
b to 77, a closed: ok
getsockname: ok family 16 port 77 length 12
`},
		{"bad-bind", `
length 0: errno 22
length 11: errno 22
length 129: errno 22
length -1: errno 22
family 2: errno 22
null: errno 14
page 1: errno 14
top: errno 14
over the end of a mapping: errno 14
up to the end of a mapping: ok
length 128: ok
getsockname: ok family 16 port 5 length 12
`},
		{"bad-name", `
length 32: ok length 12 bytes 100000000900000000000000
length 12: ok length 12 bytes 100000000900000000000000
length 5: ok length 12 bytes 100000000900000000000000
length 0: ok length 12 bytes 000000000000000000000000
length 0, null: ok length 12 bytes 000000000000000000000000
length -1: errno 22 length -1 bytes 000000000000000000000000
null: errno 14 length 12 bytes 000000000000000000000000
top: errno 14 length 12 bytes 000000000000000000000000
read-only: errno 14 length 12 bytes 000000000000000000000000
length pointer null: errno 14
length pointer read-only: errno 14 000000000000000000000000
over the end of a mapping: errno 14 length 12 bytes 000000000000000000000000
up to the end of a mapping: ok length 12 bytes 000000000000000000000000
100000000900000000000000
`},
		{"groups", "bind with groups: ok\n"},
		{"flags", `
cloexec 0 nonblock false
cloexec 0 nonblock false
cloexec 1 nonblock false
cloexec 1 nonblock false
cloexec 0 nonblock true
recvfrom: errno 11
cloexec 0 nonblock true
recvfrom: errno 11
cloexec 1 nonblock true
recvfrom: errno 11
cloexec 1 nonblock true
recvfrom: errno 11
`},
		{"dup", `
bind: ok
getsockname: ok family 16 port 5 length 12
recvfrom: duplicate (family 2, %[1]d bits) from port 0 address length 12
getsockname: ok family 16 port 5 length 12
getsockname of what is there now: errno 88
`},
		{"threads 200", "done\n"},
		{"limit", "true errno 24\n"},
	} {
		t.Run(strings.ReplaceAll(tt.args, " ", "-"), func(t *testing.T) {
			each(t, func(t *testing.T, client string, bits int) {
				want := strings.TrimPrefix(tt.want, "\n")
				if strings.Contains(want, "%") {
					want = fmt.Sprintf(want, bits)
				}
				got, status := run(t, append([]string{client}, strings.Fields(tt.args)...)...)
				if got != want || status != 0 {
					t.Errorf("status %#x, output\n%swant\n%s", status, got, want)
				}
			})
		})
	}
}
