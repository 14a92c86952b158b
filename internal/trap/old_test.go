//go:build linux

package trap_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
)

const ownBits = 32 << (^uint(0) >> 63)

// builds are the ways to build testdata/old.c.
var builds = []struct {
	name  string
	flags []string
	bits  int
}{
	{"dynamic", nil, ownBits},
	{"static", []string{"-static"}, ownBits},
	{"m32", []string{"-m32"}, 32},
	{"m32 static", []string{"-m32", "-static"}, 32},
}

// TestOld runs a C program through what old programs do around their handle.
func TestOld(t *testing.T) {
	os.ReadFile("testdata/old.c") // a cached result ends with it
	gcc, err := exec.LookPath("gcc")
	sandbox.Require(t, "gcc", err == nil, "the program is built with it")
	for _, build := range builds {
		t.Run(strings.ReplaceAll(build.name, " ", "-"), func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "old")
			args := append([]string{"-Wall", "-Wextra", "-Werror", "-O2", "-pthread"}, build.flags...)
			args = append(args, "-o", program, "testdata/old.c")
			out, err := exec.Command(gcc, args...).CombinedOutput()
			if len(build.flags) != 0 {
				sandbox.Require(t, "gcc "+strings.Join(build.flags, " "), err == nil, string(out))
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			testOld(t, program, build.bits)
		})
	}
}

func testOld(t *testing.T, program string, bits int) {
	const peer = "from port 0, address length 12"
	for _, tt := range []struct {
		scenario string
		want     string
		exit     int
	}{
		{"child", fmt.Sprintf("child (family 2, %[1]d bits) %[2]s\nparent (family 2, %[1]d bits) %[2]s\n", bits, peer), 0},
		{"both", fmt.Sprintf("four (family 2, %[1]d bits) %[2]s\nsix (family 10, %[1]d bits) %[2]s\nbind: errno 98\n", bits, peer), 1},
		{"reopen", fmt.Sprintf("again (family 2, %d bits) %s\n", bits, peer), 0},
		{"threads", "joined\n", 0},
		{"apart", fmt.Sprintf("apart (family 2, %d bits) %s\njoined, no descriptor is left: 1\n", bits, peer), 0},
		{"vfork", fmt.Sprintf("parent (family 2, %d bits) %s\n", bits, peer), 0},
		{"signals", "no descriptor is left: 1\n", 0},
	} {
		t.Run(tt.scenario, func(t *testing.T) {
			got, status := run(t, program, tt.scenario)
			if got != tt.want || status.ExitStatus() != tt.exit {
				t.Errorf("status %#x, output\n%swant\n%s", status, got, tt.want)
			}
		})
	}
	for scenario, family := range map[string]int{"daemon-after": 2, "daemon-before": 10} {
		t.Run(scenario, func(t *testing.T) {
			s := start(t, program, scenario).supervised()
			if status := s.wait(); status != 0 {
				t.Errorf("status %#x", status)
			}
			s.stdin.Write([]byte{'\n'})
			if got, want := s.output(), fmt.Sprintf("daemon (family %d, %d bits) %s\n", family, bits, peer); got != want {
				t.Errorf("output %q, want %q", got, want)
			}
			s.gone()
		})
	}
	t.Run("core", func(t *testing.T) {
		command := []string{"sh", "-c", "cd " + t.TempDir() + `; ulimit -c unlimited; exec "$0" core`, program}
		_, status := run(t, command...)
		alone := exec.Command(command[0], command[1:]...)
		alone.Run() // what it returns, ProcessState says
		if want := alone.ProcessState.Sys().(syscall.WaitStatus); status != want || status.Signal() != unix.SIGABRT {
			t.Errorf("status %#x, alone it is %#x", status, want)
		}
	})
}
