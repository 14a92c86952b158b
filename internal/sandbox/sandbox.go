// Package sandbox gives a program a network of its own: a private network
// namespace, inside a private user namespace when the caller is not root, with
// links, hosts and real traffic in it. The tests and "ipq try" run there, so
// that real packets can be queued with no privilege and without touching the
// machine's own rules.
//
// The program gets there by executing itself again, never by moving a running
// Go process: the goroutines of a moved process would go on in threads that are
// still outside, and would change the rules of the machine. [Main] does it for
// tests, [Enter] for a command. Both refuse to go on in the namespace that they
// were started in.
//
// Inside, a [Net] is a router with up to two hosts behind it:
//
//	     sandbox (the calling program)
//	10.7.0.1, fd07::1     10.7.1.1, fd07:1::1
//	       |                     |
//	10.7.0.2, fd07::2     10.7.1.2, fd07:1::2
//	     host 0                host 1
package sandbox

import (
	"errors"
	"os"
	"runtime"
	"strings"
)

// errUnavailable says why there is no sandbox; nil inside one.
var errUnavailable = errors.New("sandbox: not entered")

// Available returns nil inside a sandbox, else an error that says why the
// program is not in one and what to change.
func Available() error { return errUnavailable }

// TB is the part of testing.TB that this package needs.
type TB interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Require skips the test when ok is false, and names what is missing and why.
// When IPQ_REQUIRE, a list separated by commas, has the feature or "all", the
// skip is a failure instead.
func Require(t TB, feature string, ok bool, why string) {
	t.Helper()
	if ok {
		return
	}
	for want := range strings.SplitSeq(os.Getenv("IPQ_REQUIRE"), ",") {
		if want = strings.TrimSpace(want); want == "all" || want == feature {
			t.Fatalf("missing, and required by IPQ_REQUIRE: %s: %s", feature, why)
			return
		}
	}
	t.Skipf("missing: %s: %s", feature, why)
}

// RequireNamespaces skips the test outside a sandbox. Every test that changes
// rules, links or queues calls it, or [RequireQueue], first. The feature is
// called "namespaces".
func RequireNamespaces(t TB) {
	t.Helper()
	if errUnavailable != nil {
		why := errUnavailable.Error()
		if runtime.GOOS != "linux" {
			why = "needs Linux"
		}
		Require(t, "namespaces", false, why)
	}
}
