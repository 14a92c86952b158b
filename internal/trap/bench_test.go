//go:build linux

package trap_test

import (
	"strconv"
	"strings"
	"testing"
)

// BenchmarkContinued measures what a system call costs a program: alone, with
// the filter and a supervisor that has no socket yet, and with one that must
// look whose socket it is. getppid is a call that the filter lets pass.
func BenchmarkContinued(b *testing.B) {
	c := client(b, "amd64")
	for _, call := range []string{"getppid", "getsockname", "bind"} {
		for _, how := range []string{"alone", "no-handle", "with-handle"} {
			b.Run(call+"/"+how, func(b *testing.B) {
				args := []string{c, "loop", call, how, strconv.Itoa(b.N)}
				var out string
				if how == "alone" {
					out = native(b, args...)
				} else {
					out, _ = run(b, args...)
				}
				ns, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(ns, "ns/op")
			})
		}
	}
}
