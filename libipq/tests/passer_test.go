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

// The example program of the manual page, unmodified: ping passes through it,
// and does not when it is stopped.
func TestPasser(t *testing.T) {
	everyWay(t, func(t *testing.T, s *starter) {
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
		if answered(soon) {
			t.Fatal("a ping is answered that nobody let through")
		}
		p := s.start(t, "testdata/passer.c", passerFlags)
		// It says nothing when it is ready.
		for deadline := time.Now().Add(patience); !answered(soon); {
			if time.Now().After(deadline) {
				t.Fatal("no ping passes through the passer")
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
			t.Fatal("a ping is answered after the passer has ended")
		}
	})
}

// It calls exit without a declaration, as one could.
var passerFlags = []string{"-std=gnu89", "-w"}

// What the passer says when things are not as they should be.
func TestPasserComplains(t *testing.T) {
	requireRules(t)
	x := target{word: 64}
	x.require(t)
	s := &starter{target: x}
	say := func(t *testing.T, want string) {
		t.Helper()
		p := s.start(t, "testdata/passer.c", passerFlags)
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
		second := s.start(t, "testdata/passer.c", passerFlags)
		second.says("Received error message 16")
		second.cmd.Process.Kill()
		second.exits(-1)
		first.cmd.Process.Kill()
		first.exits(-1)
	})
	t.Run("service ends", func(t *testing.T) {
		e := run(t, commandOf(t, "emulate", "--queue4", "1", "--queue6", "1", "--socket", service+"2"))
		e.line()
		at := *s
		at.env = []string{"IPQ_SOCKET=" + service + "2"}
		p := at.start(t, "programs/select.c", nil)
		p.says("ready")
		e.interrupt()
		if got, want := p.line(), "Received EOF on netlink socket"; !strings.Contains(got, want) {
			t.Errorf("it says %q, want %q", got, want)
		}
		p.exits(1)
	})
}
