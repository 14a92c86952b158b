package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Main runs the tests of a package inside a sandbox and exits with their
// status. Call it from TestMain:
//
//	func TestMain(m *testing.M) { sandbox.Main(m) }
//
// It executes the test binary again, with its arguments, its standard files
// and its environment. Where namespaces are forbidden the tests run where they
// are, and those that call [RequireNamespaces] skip. When all tests have passed,
// goroutines and descriptors that they left behind are a failure.
func Main(m interface{ Run() int }) {
	os.Exit(run(m))
}

func run(m interface{ Run() int }) int {
	fuzzing := slices.ContainsFunc(os.Args[1:], func(arg string) bool {
		return strings.HasPrefix(arg, "-test.fuzz=") || arg == "-test.fuzzworker"
	})
	if slices.Contains(os.Args[1:], "-test.fuzzworker") {
		// The coordinator, which is inside, started this process: it talks over
		// descriptors that a new execution would close.
		errUnavailable = adopt()
	} else {
		Enter() // what it returns, Available says
	}
	if fuzzing {
		return m.Run()
	}

	before := snapshot()
	code := m.Run()
	if code != 0 {
		return code
	}
	if left := before.leaks(); left != "" {
		fmt.Fprintf(os.Stderr, "FAIL: the tests left something behind\n%s", left)
		return 1
	}
	return 0
}
