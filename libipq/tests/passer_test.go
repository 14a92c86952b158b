//go:build linux

package tests_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ipq/internal/sandbox"
	"ipq/ipqueue"
)

// pings has pings pass through a program that accepts everything, and that says
// nothing when it is ready. None passes when the program has been stopped.
func pings(t *testing.T, p *process) {
	n := sandbox.Setup(t, 1)
	const rule = " OUTPUT -p icmp -j QUEUE"
	if err := iptables("iptables-legacy", "-A"+rule); err != nil {
		t.Fatal(err)
	}
	defer iptables("iptables-legacy", "-D"+rule)
	answered := func(timeout time.Duration) bool {
		t.Helper()
		ping := sandbox.Exchange{Protocol: sandbox.ICMP, From: n.Router, To: n.Hosts[0], Name: "ping", Timeout: timeout}
		r, err := ping.Do()
		if err != nil {
			t.Fatal(err)
		}
		return r.Answered
	}
	const soon, patience = 200 * time.Millisecond, 10 * time.Second
	for deadline := time.Now().Add(patience); !answered(soon); {
		if time.Now().After(deadline) {
			t.Fatal("no ping passes through the program")
		}
	}
	for range 20 {
		if !answered(patience) {
			t.Fatal("a ping is lost")
		}
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.exits(-1)
	if answered(soon) {
		t.Fatal("a ping is answered after the program has ended")
	}
}

// The example program works, and our manual page prints it as it is.
func TestManualExample(t *testing.T) {
	const source = "../examples/passer.c"
	b, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b), "/* SPDX-License-Identifier: MIT */\n"+manualExample(t); got != want {
		t.Errorf("%s is\n%s\nthe manual page has\n%s", source, got, want)
	}
	t.Run("compiles", func(t *testing.T) {
		for _, compiler := range []string{"gcc", "clang"} {
			requireCompiler(t, compiler)
			out, err := output(compiler, "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-I../include", "-fsyntax-only", source)
			if err != nil || out != "" {
				t.Errorf("%v%s", err, out)
			}
		}
	})
	everyWay(t, func(t *testing.T, s *starter) { pings(t, s.start(t, source, nil)) })
}

// manualExample is the first literal text of the section.
func manualExample(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../man/libipq.3")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(b), "\n.Sh EXAMPLES\n")
	_, text, _ := strings.Cut(section, "\n.Bd -literal -offset indent\n")
	text, _, ok := strings.Cut(text, "\n.Ed\n")
	if !ok {
		t.Fatal("there is no example in the manual page")
	}
	return strings.ReplaceAll(text, `\e`, `\`) + "\n"
}

// What the passer says when things are not as they should be.
func TestPasserComplains(t *testing.T) {
	requireRules(t)
	x := target{word: 64}
	x.require(t)
	s := &starter{target: x}
	say := func(t *testing.T, want string) {
		t.Helper()
		p := s.start(t, "programs/passer.c", passerFlags)
		p.says(want)
		p.exits(1)
	}
	t.Run("no service", func(t *testing.T) {
		_, err := os.Stat(ipqueue.DefaultSocket)
		sandbox.Require(t, "no service at "+ipqueue.DefaultSocket, err != nil, "one is running")
		say(t, "passer: Unable to create netlink socket: Protocol not supported")
	})
	t.Run("no such service", func(t *testing.T) {
		s.env = []string{"IPQ_SOCKET=/nowhere"}
		say(t, "passer: Unable to create netlink socket: No such file or directory")
	})
	service := emulate(t)
	s.env = []string{"IPQ_SOCKET=" + service}
	s.service = service
	t.Run("busy", func(t *testing.T) {
		first := s.start(t, "programs/select.c", nil)
		first.says("ready")
		second := s.start(t, "programs/passer.c", passerFlags)
		second.says("error 16")
		second.cmd.Process.Kill()
		second.exits(-1)
		first.cmd.Process.Kill()
		first.exits(-1)
	})
}
