//go:build linux

package tests_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ipq/internal/sandbox"
	"ipq/ipqueue"
)

// service is "ipq emulate" at a path that stays the same.
type service struct {
	t    *testing.T
	path string
	p    *process
}

// begin starts it, and returns when programs can connect.
func (s *service) begin() {
	s.t.Helper()
	s.p = run(s.t, commandOf(s.t, "emulate", "--socket", s.path))
	if line := s.p.line(); !strings.Contains(line, s.path) {
		s.t.Fatalf("ipq emulate says %q", line)
	}
}

// kill ends it as a crash does.
func (s *service) kill() {
	s.t.Helper()
	s.p.cmd.Process.Kill()
	s.p.exits(-1)
	awaitFree(s.t)
}

// comesThrough sends packets until one has passed the program. What is queued
// before the program has said its mode again is dropped.
func comesThrough(t *testing.T, s *sink, name string) {
	t.Helper()
	b := make([]byte, 100)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		s.send(name)
		s.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if n, err := s.conn.Read(b); err == nil {
			if string(b[:n]) != name {
				t.Fatalf("%q arrived, want %q", b[:n], name)
			}
			return
		}
	}
	t.Fatalf("no packet %q passes through the program", name)
}

// drained waits until no packet is on its way to the sink.
func drained(s *sink) {
	b := make([]byte, 100)
	for {
		s.conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if _, err := s.conn.Read(b); err != nil {
			return
		}
	}
}

// A program that treats every failure as its end does not see that the service
// was killed and started again, twice, however it reads.
func TestRestart(t *testing.T) {
	requireRules(t)
	ways := []struct {
		name    string
		targets []target
		kinds   string
		before  func(path string) []string
	}{
		{"emulate", everyTarget, "blocking timeout select poll nonblocking threads child daemon", nil},
		{"run with the service", []target{{word: 64, static: true}, {word: 32, static: true}}, "blocking select daemon", func(path string) []string {
			return []string{command(t), "run", "--socket", path}
		}},
	}
	for _, w := range ways {
		for _, x := range w.targets {
			for kind := range strings.FieldsSeq(w.kinds) {
				t.Run(fmt.Sprintf("%s/%v/%s", w.name, x, kind), func(t *testing.T) {
					x.require(t)
					e := &service{t: t, path: filepath.Join(buildDir, "again")}
					e.begin()
					defer e.kill()
					s := &starter{target: x, service: e.path, env: []string{"IPQ_SOCKET=" + e.path}}
					if w.before != nil {
						s.before = w.before(e.path)
					}
					out := openSink(t, local+strconv.Itoa(atOutput))
					p := s.start(t, "restart/reader.c", nil, kind)
					p.says("ready")
					for i := range 3 {
						comesThrough(t, out, fmt.Sprint("packet ", i))
						if i < 2 {
							e.kill()
							e.begin()
							drained(out)
						}
					}
					p.cmd.Process.Kill()
					end(compile(t, "restart/reader.c", x)) // the daemon
					// What it has said is one line for each packet, and no failure.
					p.cmd.Wait()
					p.ended = true
					for i := 0; ; i++ {
						p.out.SetReadDeadline(time.Now().Add(15 * time.Second))
						line, err := p.lines.ReadString('\n')
						if err != nil {
							break
						}
						if !strings.HasPrefix(line, "packet ") && !strings.HasPrefix(line, "ipq run: no ip_queue socket for process ") {
							t.Errorf("it says %q", line)
						}
					}
				})
			}
		}
	}
}

// Without a service nothing spins, nothing fails that did not fail with the
// kernel's, and what the program has set comes back with the next service.
func TestEnded(t *testing.T) {
	requireRules(t)
	for _, x := range everyTarget {
		t.Run(x.String(), func(t *testing.T) {
			x.require(t)
			e := &service{t: t, path: filepath.Join(buildDir, "again")}
			e.begin()
			out := openSink(t, local+strconv.Itoa(atOutput))
			program := compile(t, "restart/ended.c", x)
			cmd := exec.Command(program)
			cmd.Env = append(os.Environ(), "IPQ_SOCKET="+e.path)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			p := run(t, cmd)
			next := func() {
				t.Helper()
				if _, err := in.Write([]byte("next\n")); err != nil {
					t.Fatal(err)
				}
			}
			p.says("ready")
			out.send("old")
			p.says("held")
			e.kill()
			next()
			for _, how := range []string{"poll", "short", "nonblocking"} {
				line := p.line()
				n, err := strconv.Atoi(strings.TrimPrefix(line, how+" "))
				// 1 to 64 ms are 7 pauses, and then there is one each 100 ms.
				if err != nil || n < 1 || n > 40 {
					t.Errorf("in 2 s it reads: %q", line)
				}
			}
			p.says("gone")
			e.begin()
			defer e.kill()
			next()
			stop := make(chan struct{})
			sent := make(chan struct{})
			go func() { // until the program has said its mode again
				defer close(sent)
				c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(out.to))
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				for {
					if _, err := c.Write([]byte("new")); err != nil {
						t.Error(err)
						return
					}
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
					}
				}
			}()
			p.says("kept")
			close(stop)
			<-sent
			out.none()
			next()
			p.exits(0)
			out.none()
		})
	}
}

// The socket is found by a daemon that has cleaned its environment, in a static
// program too; and a path that is set later counts.
func TestEnvironmentAtStart(t *testing.T) {
	_, err := os.Stat(ipqueue.DefaultSocket)
	sandbox.Require(t, "no service at "+ipqueue.DefaultSocket, err != nil, "one is running")
	for _, x := range everyTarget {
		t.Run(x.String(), func(t *testing.T) {
			x.require(t)
			program := compile(t, "restart/environment.c", x)
			path := filepath.Join(t.TempDir(), "s")
			for _, c := range []struct{ socket, says string }{
				{path, "at start 2, set 20, empty 93"}, // ENOENT, ENOTDIR, EPROTONOSUPPORT
				{strings.Repeat("x", 200), "at start 36, set 20, empty 93"},
				{"", "at start 93, set 20, empty 93"},
			} {
				cmd := exec.Command(program)
				cmd.Env = append(os.Environ(), "IPQ_SOCKET="+c.socket)
				out, err := cmd.CombinedOutput()
				if got := strings.TrimSpace(string(out)); err != nil || got != c.says {
					t.Errorf("with IPQ_SOCKET=%.20s it says %q, want %q (%v)", c.socket, got, c.says, err)
				}
			}
		})
	}
}
