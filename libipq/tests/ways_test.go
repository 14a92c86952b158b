//go:build linux

package tests_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// way is one of the ways to give a program its queue handler.
type way struct {
	name    string
	targets []target
	// service says that they are served by "ipq emulate"; else each program has a
	// queue handler of its own.
	service bool
	// start says what starts a program: the environment, and the words before it.
	start func(t *testing.T, service string) (env, before []string)
}

var everyTarget = []target{{word: 64}, {word: 64, static: true}, {word: 32}, {word: 32, static: true}}

var ways = []way{
	{
		name:    "emulate",
		targets: everyTarget,
		service: true,
		start: func(t *testing.T, service string) (env, before []string) {
			return []string{"IPQ_SOCKET=" + service}, nil
		},
	},
	{
		name:    "run",
		targets: everyTarget,
		start: func(t *testing.T, _ string) (env, before []string) {
			return nil, []string{command(t), "run", "--socket", ""}
		},
	},
	{
		name:    "run with the service",
		targets: []target{{word: 64, static: true}, {word: 32, static: true}},
		service: true,
		start: func(t *testing.T, service string) (env, before []string) {
			return nil, []string{command(t), "run", "--socket", service}
		},
	},
}

// emulate runs the service until the test ends, and returns its socket.
func emulate(t *testing.T) string {
	t.Helper()
	path := filepath.Join(buildDir, "sock")
	p := run(t, commandOf(t, "emulate", "--socket", path))
	t.Cleanup(func() {
		p.interrupt()
		awaitFree(t)
	})
	if line := p.line(); !strings.Contains(line, path) {
		t.Fatalf("ipq emulate says %q", line)
	}
	return path
}

// commandOf is the ipq command with arguments.
func commandOf(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(command(t), args...)
}

// process is a program that runs, and what it says.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   *os.File // not a pipe of cmd's: a daemon outlives its parent
	lines *bufio.Reader
	ended bool
}

// run starts a command.
func run(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	if cmd.Stderr == nil {
		cmd.Stderr = w
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	p := &process{t: t, cmd: cmd, out: r, lines: bufio.NewReader(r)}
	t.Cleanup(func() {
		if !p.ended {
			cmd.Process.Kill()
			cmd.Wait()
		}
		r.Close()
	})
	return p
}

// end kills what still runs of a program: a daemon that has not done its work.
func end(program string) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, _ := os.Readlink(link); target != program {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// awaitFree waits until nobody owns queue 0: a supervisor ends some time after
// its last program.
func awaitFree(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile("/proc/self/net/netfilter/nfnetlink_queue")
		if err != nil {
			t.Fatal(err)
		}
		owned := false
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			owned = owned || len(fields) > 0 && fields[0] == "0"
		}
		if !owned {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("queue 0 is still in use:\n%s", b)
		}
	}
}

// line is the next line that the program says.
func (p *process) line() string {
	p.t.Helper()
	p.out.SetReadDeadline(time.Now().Add(15 * time.Second))
	line, err := p.lines.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s says %q and then nothing: %v", filepath.Base(p.cmd.Path), line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// says is the next line.
func (p *process) says(want string) {
	p.t.Helper()
	if got := p.line(); got != want {
		p.t.Fatalf("it says %q, want %q", got, want)
	}
}

// exits waits for the program, which must have nothing more to say.
func (p *process) exits(status int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })
	defer stop()
	p.cmd.Wait()
	p.ended = true
	rest := make([]byte, 4096)
	p.out.SetReadDeadline(time.Now().Add(15 * time.Second))
	n, _ := p.lines.Read(rest)
	if got := p.cmd.ProcessState.ExitCode(); got != status || n > 0 {
		p.t.Fatalf("it ends with %v, want exit status %d, and says %q", p.cmd.ProcessState, status, rest[:n])
	}
}

// interrupt ends a program that ends in order when it is told to.
func (p *process) interrupt() {
	p.t.Helper()
	if !p.ended {
		p.cmd.Process.Signal(os.Interrupt)
		p.exits(0)
	}
}

// starter starts programs in one way, built for one target.
type starter struct {
	target  target
	service string // its socket; empty when each program has a queue handler of its own
	env     []string
	before  []string
}

// start starts a program of the directory "programs".
func (s *starter) start(t *testing.T, source string, flags []string, args ...string) *process {
	t.Helper()
	program := compile(t, source, s.target, flags...)
	t.Cleanup(func() {
		end(program)
		if s.service == "" {
			awaitFree(t)
		}
	})
	words := append(append([]string{}, s.before...), program)
	words = append(words, args...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	return run(t, cmd)
}

// everyWay runs a test in every way and for every target of it.
func everyWay(t *testing.T, test func(t *testing.T, s *starter)) {
	requireRules(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			target{word: 64}.require(t)
			service := ""
			if w.service {
				service = emulate(t)
			}
			env, before := w.start(t, service)
			for _, x := range w.targets {
				t.Run(fmt.Sprint(x), func(t *testing.T) {
					x.require(t)
					test(t, &starter{x, service, env, before})
				})
			}
		})
	}
}
