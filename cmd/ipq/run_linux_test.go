package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/ipqueue"
	"ipq/rules"
)

// oldClient builds the program that knows netlink sockets only, static and for
// another architecture if need be.
func oldClient(t *testing.T, goarch string) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(binary(t)), "client-"+goarch)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.Command("go", "build", "-o", path, "../../internal/trap/testdata/client")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+goarch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the client for %s: %v\n%s", goarch, err, out)
	}
	if goarch == "386" {
		err := exec.Command(path, "nothing").Run()
		var exit *exec.ExitError
		sandbox.Require(t, "386", errors.As(err, &exit), "this kernel does not execute 32-bit programs (CONFIG_IA32_EMULATION)")
	}
	return path
}

// service runs "ipq emulate" until the test ends, and returns its socket.
func service(t *testing.T) string {
	t.Helper()
	path, _ := startService(t)
	return path
}

// startService is service; stop ends it earlier.
func startService(t *testing.T) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "sock")
	// No command of prepare, which are killed after patience: to build a client can
	// take longer.
	cmd := exec.Command(binary(t), "emulate", "--socket", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("ipq emulate says %q", line)
	}
	return path, stop
}

// bindsWell is what the client prints when it is served.
const bindsWell = "made\nbind: ok\nsocket: ok\n"

func TestRunStatus(t *testing.T) {
	sandbox.RequireQueue(t)
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no program\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	old := oldClient(t, runtime.GOARCH)
	for _, c := range []struct {
		args   []string
		status int
		stdout string
		stderr string
	}{
		{[]string{"--socket=", old, "cat", "0"}, 0, "", ""},
		{[]string{"--socket=", old, "cat", "42"}, 42, "", ""},
		{[]string{"--socket=", "--", old, "wait"}, 0, bindsWell, ""},
		{[]string{"--socket=", "sh", "-c", "exit 5"}, 5, "", ""},
		{[]string{"--socket=", "echo", "--help", "-x"}, 0, "--help -x\n", ""},
		{[]string{"--socket=", filepath.Join(dir, "none")}, 127, "", "no such file"},
		{[]string{"--socket=", "ipq-no-such-program"}, 127, "", "not found"},
		{[]string{"--socket=", text}, 126, "", "permission denied"},
		{[]string{"--socket", filepath.Join(dir, "sock"), old, "wait"}, 125, "", "ipq emulate"},
		{[]string{"--sandbox", "--socket", filepath.Join(dir, "sock"), old, "wait"}, 64, "", "--sandbox"},
		{[]string{}, 64, "", "which program"},
	} {
		e := run(t, append([]string{"run"}, c.args...)...)
		if e.status != c.status || e.stdout != c.stdout || !strings.Contains(e.stderr, c.stderr) || c.stderr == "" && e.stderr != "" {
			t.Errorf("ipq run %q: status %d, want %d, %q and %q:\n%s%s", c.args, e.status, c.status, c.stdout, c.stderr, e.stdout, e.stderr)
		}
		if e.stderr != "" && (strings.Count(e.stderr, "\n") != 1 || !strings.HasPrefix(e.stderr, "ipq: ")) {
			t.Errorf("ipq run %q: an error is one line on stderr, not:\n%s", c.args, e.stderr)
		}
	}
}

// A queue that somebody else has is no puzzle.
func TestRunQueueTaken(t *testing.T) {
	sandbox.RequireQueue(t)
	service(t)
	e := run(t, "run", "--socket=", oldClient(t, runtime.GOARCH), "wait")
	if e.status != 125 || !strings.Contains(e.stderr, "queue 0") {
		t.Errorf("status %d: %s", e.status, e.stderr)
	}
}

// The service is found by the flag, and by the variable that libipq looks at; a
// relative path is relative to where the command is started.
func TestRunWithService(t *testing.T) {
	sandbox.RequireQueue(t)
	path := service(t)
	for _, goarch := range []string{runtime.GOARCH, "386"} {
		if goarch == "386" && runtime.GOARCH != "amd64" {
			continue
		}
		for _, how := range []string{"flag", "variable", "relative"} {
			cmd := prepare(t, "run", oldClient(t, goarch), "wait")
			switch how {
			case "flag":
				cmd = prepare(t, "run", "--socket", path, oldClient(t, goarch), "wait")
			case "variable":
				cmd.Env = append(os.Environ(), "IPQ_SOCKET="+path)
			case "relative":
				cmd.Env = append(os.Environ(), "IPQ_SOCKET="+filepath.Base(path))
				cmd.Dir = filepath.Dir(path)
			}
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(out)
			made, _ := r.ReadString('\n')
			status, err := ipqueue.ReadStatus(path)
			if err != nil || status.IPv4.Programs != 1 {
				t.Errorf("%s, %s: the service has %d programs, %v; want 1", goarch, how, status.IPv4.Programs, err)
			}
			in.Close()
			rest, _ := io.ReadAll(r)
			cmd.Wait()
			if made+string(rest) != bindsWell || stderr.String() != "" || !cmd.ProcessState.Success() {
				t.Errorf("%s, %s: %v\n%s%s%s", goarch, how, cmd.ProcessState, made, rest, &stderr)
			}
		}
	}
}

// When the service ends, a program that reads again and again is terminated, with
// a line that says why: it would do that for ever.
func TestRunServiceEnds(t *testing.T) {
	sandbox.RequireQueue(t)
	old := oldClient(t, runtime.GOARCH)
	path, stop := startService(t)
	cmd := prepare(t, "run", "--socket", path, old, "again", "hello")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "made\n" {
		t.Fatalf("%q, %v", line, err)
	}
	stop()
	cmd.Wait() // what it returns, ProcessState says
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != unix.SIGTERM {
		t.Errorf("the program ends with %#x, want SIGTERM", status)
	}
	want := fmt.Sprintf("ipq run: the queue handler, or the service (ipq emulate), was stopped, so no packets come any more: terminating %q (process %d)\n",
		filepath.Base(old), cmd.Process.Pid)
	if stderr.String() != want {
		t.Errorf("standard error %q, want %q", stderr.String(), want)
	}
}

// Without a service to be found, or in a sandbox, the program has a handler of
// its own; in a sandbox even when an ordinary user runs it.
func TestRunSandbox(t *testing.T) {
	requireTry(t)
	dir := filepath.Dir(binary(t))
	inner := filepath.Join(dir, "inner")
	copyExecutable(t, inner)
	for _, goarch := range []string{runtime.GOARCH, "386"} {
		if goarch == "386" && runtime.GOARCH != "amd64" {
			continue
		}
		old := oldClient(t, goarch) // to build it can take longer than the command may
		cmd := asOrdinary(t, prepare(t, "run", "--sandbox", inner))
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), innerEnv+"="+old)
		e := wait(t, cmd)
		want := "1 ACCEPT\n3 ACCEPT\n"
		if e.status != 0 || e.stdout != want || e.stderr != "" {
			t.Errorf("%s: status %d, want %q:\n%s%s", goarch, e.status, want, e.stdout, e.stderr)
		}
	}
}

// A program in a sandbox keeps its status, the signal that ends it, and what it
// leaves behind: here a process that opens its first socket when the program is
// gone.
func TestRunSandboxEnds(t *testing.T) {
	requireTry(t)
	const leaves = `exec 4<&0; "$0" wait <&4 & exec 4<&-; exit 3`
	for _, goarch := range []string{runtime.GOARCH, "386"} {
		if goarch == "386" && runtime.GOARCH != "amd64" {
			continue
		}
		for name, as := range map[string]func(*exec.Cmd) *exec.Cmd{
			"root":          func(c *exec.Cmd) *exec.Cmd { return c },
			"ordinary user": func(c *exec.Cmd) *exec.Cmd { return asOrdinary(t, c) },
		} {
			t.Run(goarch+" "+name, func(t *testing.T) {
				cmd := as(prepare(t, "run", "--sandbox", "sh", "-c", "kill -9 $$"))
				cmd.Run() // what it returns, ProcessState says
				if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != unix.SIGKILL {
					t.Errorf("a program that was killed is seen to end with %#x", status)
				}

				cmd = as(prepare(t, "run", "--sandbox", "sh", "-c", leaves, oldClient(t, goarch)))
				cmd.Dir = "/"
				in, tell, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				hear, out, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer hear.Close()
				cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
				cmd.Run()
				out.Close()
				if got := cmd.ProcessState.ExitCode(); got != 3 {
					t.Errorf("%v, want exit status 3", cmd.ProcessState)
				}
				tell.Close() // it goes on at the end of its input
				hear.SetReadDeadline(time.Now().Add(patience))
				if got, err := io.ReadAll(hear); string(got) != bindsWell || err != nil {
					t.Errorf("what was left behind says %q, %v; want %q", got, err, bindsWell)
				}
			})
		}
	}
}

// SIGKILL of the process that was started ends the program in a sandbox, and with
// it the supervisor and the watcher, whoever runs it.
func TestRunSandboxKilled(t *testing.T) {
	requireTry(t)
	for name, as := range map[string]func(*exec.Cmd) *exec.Cmd{
		"root":          func(c *exec.Cmd) *exec.Cmd { return c },
		"ordinary user": func(c *exec.Cmd) *exec.Cmd { return asOrdinary(t, c) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 { // which thread executes the program differs
				cmd := as(prepare(t, "run", "--sandbox", oldClient(t, runtime.GOARCH), "wait"))
				mark := fmt.Sprintf("IPQ_TEST_MARK=%d-%p", os.Getpid(), cmd)
				cmd.Dir, cmd.Env = "/", append(os.Environ(), mark)
				in, tell, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				defer tell.Close() // at the end of its input the program would end
				cmd.Stdin = in
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if line, err := bufio.NewReader(out).ReadString('\n'); line != "made\n" {
					t.Fatalf("%q, %v", line, err)
				}
				if n := len(marked(mark)); n < 3 {
					t.Errorf("%d processes run, want the program, the supervisor and the watcher", n)
				}
				cmd.Process.Kill()
				cmd.Wait() // what it returns, ProcessState says
				for deadline := time.Now().Add(patience); len(marked(mark)) > 0; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("there still run %q", marked(mark))
					}
				}
			}
		})
	}
}

// marked lists the processes with a variable in their environment.
func marked(variable string) []string {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	var found []string
	for _, path := range environs {
		if b, _ := os.ReadFile(path); strings.Contains(string(b), variable) {
			comm, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "comm"))
			found = append(found, path+" "+strings.TrimSpace(string(comm)))
		}
	}
	return found
}

func copyExecutable(t *testing.T, to string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// innerEnv makes the test binary the program that TestRunSandbox runs: it
// queues what it sends, has an old program decide, and prints what arrives.
const innerEnv = "IPQ_TEST_INNER"

func init() {
	if client := os.Getenv(innerEnv); client != "" {
		if err := inner(client); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func inner(client string) error {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer to.Close()
	to.SetReadDeadline(time.Now().Add(patience))
	table, err := rules.Install(rules.Plan{Chains: []rules.Chain{{
		Hook:  rules.Output,
		Match: []rules.Match{{Protocols: []rules.Protocol{rules.UDP}}},
	}}})
	if err != nil {
		return err
	}
	defer table.Close()
	old := exec.Command(client, "passer", "3", "unbound")
	out, err := old.StdoutPipe()
	if err != nil {
		return err
	}
	if err := old.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for _, text := range []string{"", "1 accept", "2   drop", "3 accept", "4    end"} {
		if text != "" {
			if err := sendUnchecked(to.LocalAddr().String(), text); err != nil {
				return err
			}
		}
		if !lines.Scan() {
			return fmt.Errorf("the program has ended before %q", text)
		}
	}
	if err := old.Wait(); err != nil {
		return err
	}
	for range 2 {
		var b [100]byte
		n, err := to.Read(b[:])
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", b[:n])
	}
	return nil
}

// sendUnchecked sends a datagram with no checksum, so that the program, which
// mends none, may change it.
func sendUnchecked(to, text string) error {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
		return err
	}}
	c, err := d.Dial("udp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(text))
	return err
}
