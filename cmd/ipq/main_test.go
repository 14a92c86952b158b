package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"ipq"
	"ipq/internal/sandbox"
)

func TestMain(m *testing.M) {
	if queue := os.Getenv(ownerEnv); queue != "" {
		os.Exit(own(queue))
	}
	sandbox.Main(suite{m})
}

// ownerEnv makes the test binary own a queue, in the namespace that it is
// started in, until its input ends.
const ownerEnv = "IPQ_TEST_OWNER"

func own(queue string) int {
	n, _ := strconv.Atoi(queue)
	q, err := ipq.Open(ipq.Config{Queue: uint16(n), Mode: ipq.ModeMeta})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer q.Close()
	fmt.Println("owned")
	os.Stdin.Read(make([]byte, 1))
	return 0
}

// suite removes the command that the tests have built.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	code := s.m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	return code
}

var built struct {
	once sync.Once
	dir  string
	err  error
}

// binary builds the command, once, as it is installed: without cgo.
func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "ipq-test-"); built.err != nil {
			return
		}
		os.Chmod(built.dir, 0o755) // other users run it, too
		cmd := exec.Command("go", "build", "-o", built.dir, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%s%w", out, err)
		}
	})
	if built.err != nil {
		t.Fatalf("build the command: %v", built.err)
	}
	return filepath.Join(built.dir, "ipq")
}

// ended is what a command has left behind.
type ended struct {
	status         int
	stdout, stderr string
}

func (e ended) lines() []string { return strings.Split(strings.TrimSuffix(e.stdout, "\n"), "\n") }

func (e ended) last() string { l := e.lines(); return l[len(l)-1] }

// patience bounds every run of the command, also on a busy machine.
const patience = 60 * time.Second

// ipq runs the command to its end.
func run(t *testing.T, args ...string) ended {
	t.Helper()
	return wait(t, prepare(t, args...))
}

func prepare(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return program(t, binary(t), args...)
}

// program prepares a run of any program.
func program(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}

func wait(t *testing.T, cmd *exec.Cmd) ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	if !cmd.ProcessState.Exited() {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, &stdout, &stderr)
	}
	return ended{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// objects parses one JSON value from each line.
func objects[T any](t *testing.T, text string) []T {
	t.Helper()
	var list []T
	for line := range strings.Lines(text) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		list = append(list, v)
	}
	return list
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		says   string // in stderr, or in stdout if the status is 0
	}{
		{nil, 0, "Examples:"},
		{[]string{"--help"}, 0, "Examples:"},
		{[]string{"help", "ps"}, 0, "ipq ps -o json"},
		{[]string{"ps", "-h"}, 0, "ipq ps -o json"},
		{[]string{"version"}, 0, "linux"},
		{[]string{"--version"}, 0, "ipq "},
		{[]string{"completion", "bash"}, 0, "complete"},
		{[]string{"nosuch"}, 64, `"nosuch"`},
		{[]string{"wacth"}, 64, `"wacth" for "ipq" (did you mean ipq watch?)`},
		{[]string{"--nosuch"}, 64, "--nosuch"},
		{[]string{"watch", "-c", "-1"}, 64, "-c -1: want a number from 0 up (see ipq watch --help)"},
		{[]string{"watch", "--queue", "65536"}, 64, "--queue 65536: want a number from 0 to 65535"},
		{[]string{"watch", "--queue", "\x1b[2J"}, 64, `--queue \x1b[2J: want a number`},
		{[]string{"watch", "-n=maybe"}, 64, "-n maybe: want true or false"},
		{[]string{"emulate", "--maxlen", "many"}, 64, "--maxlen many: want a whole number"},
		{[]string{"ps", "--nosuch"}, 64, "ipq ps --help"},
		{[]string{"ps", "extra"}, 64, `ipq ps takes no argument: "extra" (see ipq ps --help)`},
		{[]string{"ps", "-o", "xml"}, 64, "want text or json"},
		{[]string{"ps", "-o"}, 64, "needs an argument"},
		{[]string{"help", "nosuch"}, 64, `"nosuch"`},
		{[]string{"help", "ps", "extra"}, 64, `"ps extra"`},
		{[]string{"completion"}, 64, "bash, zsh, fish, powershell"},
		{[]string{"completion", "csh"}, 64, "bash, zsh, fish, powershell"},
		{[]string{"man"}, 64, "one directory"},
		{[]string{"man", "/dev/null/x"}, 1, "/dev/null"},
	} {
		e := run(t, c.args...)
		text := e.stderr
		if c.status == 0 {
			text = e.stdout
		}
		if e.status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("ipq %q: status %d, want %d and %q:\n%s%s", c.args, e.status, c.status, c.says, e.stdout, e.stderr)
		}
		if c.status != 0 && (e.stdout != "" || strings.Count(e.stderr, "\n") != 1 || !strings.HasPrefix(e.stderr, "ipq: ")) {
			t.Errorf("ipq %q: an error is one line on stderr, not:\n%s%s", c.args, e.stdout, e.stderr)
		}
	}
}

// Every command shows what to type before anything else.
func TestHelpBeginsWithExamples(t *testing.T) {
	for _, name := range commands(t) {
		e := run(t, name, "--help")
		if l := e.lines(); len(l) < 4 || l[2] != "Examples:" || !strings.Contains(e.stdout, "      ipq "+name) {
			t.Errorf("ipq %s --help:\n%s", name, e.stdout)
		}
	}
}

// A terminal has 80 columns unless it was made wider.
func TestHelpFitsTerminal(t *testing.T) {
	for _, name := range append(commands(t), "help") {
		for _, line := range run(t, "help", name).lines() {
			if n := utf8.RuneCountInString(line); n > 80 {
				t.Errorf("ipq help %s: %d columns: %s", name, n, line)
			}
		}
	}
}

// "ipq COMMAND --help" and "ipq help COMMAND" are one text.
func TestHelpIsOneText(t *testing.T) {
	for _, name := range append(commands(t), "help") {
		if flag, command := run(t, name, "--help").stdout, run(t, "help", name).stdout; flag != command {
			t.Errorf("ipq help %s:\n%s\nipq %[1]s --help:\n%[3]s", name, command, flag)
		}
	}
	if flag, command, alone := run(t, "--help").stdout, run(t, "help").stdout, run(t).stdout; flag != command || flag != alone {
		t.Errorf("ipq --help:\n%s\nipq help:\n%s\nipq:\n%s", flag, command, alone)
	}
}

// What cannot be printed is no success, whoever prints it.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	sandbox.Require(t, "devfull", err == nil, "there is no /dev/full")
	defer full.Close()
	lines := []string{
		"", "--help", "ps --help", "help watch", "version", "version -o json", "doctor", "watch --explain tcp",
		"completion bash", "completion zsh", "completion fish", "completion powershell",
	}
	if sandbox.Available() == nil {
		lines = append(lines, "ps", "try")
	}
	for _, line := range lines {
		cmd := prepare(t, strings.Fields(line)...)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &stderr
		cmd.Run() // what it returns, ProcessState says
		if status := cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("ipq %s: status %d, want 1 and why\n%s", line, status, &stderr)
		}
	}
}

// Every shell can be completed, and completes what there is.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if e := run(t, "completion", shell); e.status != 0 || !strings.Contains(e.stdout, "__complete") {
			t.Errorf("%s: status %d\n%s%s", shell, e.status, e.stdout, e.stderr)
		}
	}
	for _, c := range []struct {
		line []string
		want string // the last one begins the word
	}{
		{[]string{"wa"}, "watch"},
		{[]string{"help", "wa"}, "watch"},
		{[]string{"completion", "z"}, "zsh"},
		{[]string{"watch", "-o", "j"}, "json"},
		{[]string{"watch", "--qu"}, "--queues"},
	} {
		if e := run(t, append([]string{"__complete"}, c.line...)...); !strings.Contains("\n"+e.stdout, "\n"+c.want) {
			t.Errorf("%q is not completed to %s:\n%s", c.line, c.want, e.stdout)
		}
	}
	bash, err := exec.LookPath("bash")
	sandbox.Require(t, "bash", err == nil, "the command bash reads its script")
	cmd := program(t, bash, "-c", `source <("$0" completion bash) && complete -p ipq`, binary(t))
	if e := wait(t, cmd); e.status != 0 || !strings.Contains(e.stdout, "__start_ipq") {
		t.Errorf("bash: status %d\n%s%s", e.status, e.stdout, e.stderr)
	}
}

// commands are the names that the help lists, but for help.
func commands(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, line := range run(t).lines() {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "  "), " "); ok && strings.HasPrefix(line, "  "+name+"  ") &&
			name != "" && name != "help" && !strings.HasPrefix(name, "-") {
			names = append(names, name)
		}
	}
	if len(names) < 3 {
		t.Fatalf("the help lists only %q", names)
	}
	return names
}

func TestVersion(t *testing.T) {
	v := objects[map[string]any](t, run(t, "version", "-o", "json").stdout)
	if len(v) != 1 || v[0]["version"] == "" || v[0]["go"] == "" || v[0]["platform"] == "" {
		t.Errorf("%v", v)
	}
}
