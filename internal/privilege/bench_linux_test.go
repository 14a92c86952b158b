package privilege_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/privilege"
)

// Roles of the test binary: it makes calls and prints how many nanoseconds one takes.
const (
	callsPlain  = "calls"
	callsSealed = "calls, sealed"
)

// calls makes the cheapest system call that there is.
func calls(sealed bool) error {
	if sealed {
		if err := privilege.Seal(0); err != nil {
			return err
		}
	}
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	begin := time.Now()
	for range n {
		unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
	}
	fmt.Println(float64(time.Since(begin).Nanoseconds()) / float64(n))
	return nil
}

// BenchmarkSystemCall shows what the filter costs each call: run both in turn, several times.
func BenchmarkSystemCall(b *testing.B) {
	for _, as := range []string{callsPlain, callsSealed} {
		b.Run(as, func(b *testing.B) {
			cmd := exec.Command("/proc/self/exe", strconv.Itoa(b.N))
			cmd.Env = append(os.Environ(), role+"="+as)
			out, err := cmd.CombinedOutput()
			if err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
			var ns float64
			if _, err := fmt.Sscan(string(out), &ns); err != nil {
				b.Fatalf("%q: %v", out, err)
			}
			b.ReportMetric(ns, "ns/op")
		})
	}
}
