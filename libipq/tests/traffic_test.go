//go:build linux

package tests_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipq/internal/sandbox"
)

// Where a UDP packet to a port is queued.
const (
	atOutput      = 7001
	atInput       = 7002
	atMangle      = 7003 // OUTPUT of mangle; filter then drops it
	atNFQUEUE     = 7004 // OUTPUT, by the newer target
	atForward     = 7005
	atOutputMark  = 7006 // OUTPUT, with mark 0x80000001
	atPrerouting  = 7007
	atPostrouting = 7008
)

var rules = []string{
	"-A OUTPUT -p udp --dport 7001 -j QUEUE",
	"-A INPUT -p udp --dport 7002 -j QUEUE",
	"-t mangle -A OUTPUT -p udp --dport 7003 -j QUEUE",
	"-A OUTPUT -p udp --dport 7003 -j DROP",
	"-A OUTPUT -p udp --dport 7004 -j NFQUEUE --queue-num 0",
	"-A FORWARD -p udp --dport 7005 -j QUEUE",
	"-t mangle -A OUTPUT -p udp --dport 7006 -j MARK --set-mark 0x80000001",
	"-A OUTPUT -p udp --dport 7006 -j QUEUE",
	"-t mangle -A PREROUTING -p udp --dport 7007 -j QUEUE",
	"-t mangle -A POSTROUTING -p udp --dport 7008 -j QUEUE",
}

// iptables changes a rule. Its lock is a file of the machine's, which is not
// ours to take, nor to write to as an ordinary user.
func iptables(tool, rule string) error {
	cmd := exec.Command(tool, append([]string{"-w"}, strings.Fields(rule)...)...)
	cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+filepath.Join(buildDir, "xtables.lock"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", tool, rule, err, out)
	}
	return nil
}

var installed once

// requireRules queues the test's packets with -j QUEUE, as the programs' own
// documentation says.
func requireRules(t *testing.T) {
	t.Helper()
	sandbox.RequireQueue(t)
	for _, tool := range []string{"iptables-legacy", "ip6tables-legacy"} {
		requireTool(t, tool)
		err := installed.do(tool, func() error {
			for _, rule := range rules {
				if err := iptables(tool, rule); err != nil {
					return err
				}
			}
			return nil
		})
		sandbox.Require(t, tool+" -j QUEUE", err == nil, fmt.Sprint(err))
	}
}

// sink receives what is let through to a port.
type sink struct {
	t    *testing.T
	conn *net.UDPConn
	to   netip.AddrPort
}

// openSink opens a sink on lo, or on the address that is given.
func openSink(t *testing.T, address string) *sink {
	t.Helper()
	to := netip.MustParseAddrPort(address)
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{t: t, conn: conn, to: to}
	t.Cleanup(func() { conn.Close() })
	return s
}

// send sends a packet there.
func (s *sink) send(text string) {
	s.t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.to))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil {
		s.t.Fatalf("send %q to %v: %v", text, s.to, err)
	}
}

// arrives is the next packet to arrive. So a packet that was sent before it and
// is not seen has been dropped.
func (s *sink) arrives(want string) {
	s.t.Helper()
	if got := s.receive(); got != want {
		s.t.Fatalf("%.60q (%d bytes) arrived, want %.60q (%d bytes)", got, len(got), want, len(want))
	}
}

func (s *sink) receive() string {
	s.t.Helper()
	b := make([]byte, 70000)
	s.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, _, err := s.conn.ReadFromUDPAddrPort(b)
	if err != nil {
		s.t.Fatalf("no packet arrives: %v", err)
	}
	return string(b[:n])
}

// none says that nothing has arrived.
func (s *sink) none() {
	s.t.Helper()
	b := make([]byte, 100)
	s.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	n, _, err := s.conn.ReadFromUDPAddrPort(b)
	if err == nil {
		s.t.Fatalf("%q arrived", b[:n])
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Fatal(err)
	}
}
