package privilege_test

import (
	"fmt"
	"math"
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

// BenchmarkSystemCall shows what the filter costs each call: of a million calls with and without it, in turn, the fastest.
func BenchmarkSystemCall(b *testing.B) {
	least := map[string]float64{callsPlain: math.Inf(1), callsSealed: math.Inf(1)}
	for range b.N {
		for _, as := range []string{callsPlain, callsSealed} {
			cmd := exec.Command("/proc/self/exe", "1000000")
			cmd.Env = append(os.Environ(), role+"="+as)
			out, err := cmd.CombinedOutput()
			if err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
			var ns float64
			if _, err := fmt.Sscan(string(out), &ns); err != nil {
				b.Fatalf("%q: %v", out, err)
			}
			least[as] = min(least[as], ns)
		}
	}
	b.ReportMetric(least[callsPlain], "ns/call")
	b.ReportMetric(least[callsSealed], "ns/sealed-call")
}
