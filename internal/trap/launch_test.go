//go:build linux

package trap_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
)

// TestStatus checks that a program under a supervisor ends as it does alone.
func TestStatus(t *testing.T) {
	c := client(t, "amd64")
	for _, code := range []int{0, 1, 42, 255} {
		s := start(t, c, "cat", fmt.Sprint(code)).supervised()
		fmt.Fprint(s.stdin, "through standard input")
		s.stdin.Close()
		if got := s.output(); got != "through standard input" {
			t.Errorf("standard input came back as %q", got)
		}
		if status := s.wait(); !status.Exited() || status.ExitStatus() != code {
			t.Errorf("exit %d is seen as %#x", code, status)
		}
		s.gone()
	}
	for _, signal := range []syscall.Signal{unix.SIGTERM, unix.SIGKILL, unix.SIGSEGV, unix.SIGABRT, unix.SIGINT} {
		_, status := run(t, c, "kill", fmt.Sprint(int(signal)))
		if !status.Signaled() || status.Signal() != signal {
			t.Errorf("%v is seen as %#x", signal, status)
		}
	}
}

// TestSignalFromOutside checks that the process that was started is the program
// itself: signals reach it, and SIGKILL leaves nothing behind.
func TestSignalFromOutside(t *testing.T) {
	for _, signal := range []syscall.Signal{unix.SIGTERM, unix.SIGKILL, unix.SIGQUIT} {
		s := start(t, client(t, "amd64"), "wait").supervised()
		if line, _ := s.stdout.ReadString('\n'); line != "made\n" {
			t.Fatalf("the program printed %q: %s", line, s.stderr.String())
		}
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", s.cmd.Process.Pid))
		if !strings.HasPrefix(string(comm), "client-") {
			t.Errorf("the process that was started is %q", comm)
		}
		s.cmd.Process.Signal(signal)
		status := s.wait()
		if signal == unix.SIGQUIT { // Go prints its stacks and exits
			if status.ExitStatus() != 2 {
				t.Errorf("SIGQUIT is seen as %#x", status)
			}
		} else if !status.Signaled() || status.Signal() != signal {
			t.Errorf("%v is seen as %#x", signal, status)
		}
		s.gone()
	}
}

// TestSurroundings compares what a program finds around it with what it finds
// when it is started alone.
func TestSurroundings(t *testing.T) {
	sh, err := exec.LookPath("sh")
	sandbox.Require(t, "sh", err == nil, "the shell prints what it finds")
	const script = `
		echo "$0" "$@"
		ulimit -S -n; ulimit -H -n; umask; pwd
		read children </proc/$$/task/$$/children; echo "children: $children, parent: $PPID"
		cd /proc/$$/fd; echo *; cd /
		cut -d ' ' -f 4-8 /proc/$$/stat
		cat /proc/$$/oom_score_adj
		grep -E '^(Sig[BIP]|ShdPnd|Threads|Cap)' /proc/self/status
		env | grep -v -E '^(GORACE|IPQ_TRAP|_=|OLDPWD|PWD)' | sort`
	// A soft limit below the hard one, SIGINT ignored, a descriptor that is
	// inherited: things a Go program changes or closes when it is careless.
	const around = `ulimit -S -n 77; umask 027; cd /usr; trap '' INT HUP; exec 7</dev/null; exec "$@"`
	command := []string{"-c", around, "sh", sh, "-c", script, "name", "one", "two words", ""}
	alone := exec.Command(sh, command...)
	want, err := alone.Output()
	if err != nil {
		t.Fatal(err)
	}
	exe := executable(t)
	t.Run("supervised", func(t *testing.T) {
		s := startCommand(t, exec.Command(sh, append([]string{"-c", around, "sh", exe}, command[3:]...)...)).supervised()
		s.stdin.Close()
		if got := s.output(); got != string(want) {
			t.Errorf("found\n%s\nalone it finds\n%s", got, want)
		}
		s.wait()
		s.gone()
	})
}

// TestNoNewPrivileges: a set-user-id program must not be what an ordinary user
// can deceive.
func TestNoNewPrivileges(t *testing.T) {
	if got, status := run(t, "grep", "NoNewPrivs", "/proc/self/status"); got != "NoNewPrivs:\t1\n" || status != 0 {
		t.Errorf("status %#x, %q", status, got)
	}
}

// TestNative checks that calls on other sockets are answered by the kernel.
func TestNative(t *testing.T) {
	each(t, func(t *testing.T, client string, bits int) {
		want := native(t, client, "others")
		got, status := run(t, client, "others")
		if got != want || status != 0 {
			t.Errorf("status %#x, output\n%s\nwithout a supervisor\n%s", status, got, want)
		}
	})
}

// TestDaemon has the program fork and end while its child goes on.
func TestDaemon(t *testing.T) {
	for _, when := range []string{"after-socket", "before-socket"} {
		t.Run(when, func(t *testing.T) {
			each(t, func(t *testing.T, client string, bits int) {
				s := start(t, client, "daemon", when).supervised()
				// Wait returns when the program is gone and standard error is closed: the
				// supervisor must let go of it, as it outlives the program.
				if status := s.wait(); status.ExitStatus() != 7 {
					t.Fatalf("status %#x", status)
				}
				s.stdin.Write([]byte{0})
				if got, want := s.output(), fmt.Sprintf("daemon 0 (family 2, %d bits)", bits); got != want {
					t.Errorf("the daemon got %q, want %q", got, want)
				}
				s.gone()
			})
		})
	}
}

// TestExecute has the program leave a socket to another, of another word size
// too. The word size is the one of the program that made the socket.
func TestExecute(t *testing.T) {
	each(t, func(t *testing.T, from string, fromBits int) {
		each(t, func(t *testing.T, to string, toBits int) {
			got, status := run(t, from, "exec", to)
			want := fmt.Sprintf(`getsockname: ok family 16 port 5 length 12
recvfrom: inherited (family 2, %d bits) from port 0 address length 12
bind: errno 98
bind: ok
getsockname: family 16 port pid length 12
recvfrom: another (family 2, %d bits) from port 0 address length 12
`, fromBits, toBits)
			if got != want || status != 0 {
				t.Errorf("status %#x, output\n%swant\n%s", status, got, want)
			}
		})
	})
}

// TestMany checks that the supervisor holds no descriptor for a socket.
func TestMany(t *testing.T) {
	each(t, func(t *testing.T, client string, bits int) {
		// The echo's end of each socket is in the supervisor here, too, and is
		// closed when the socket is.
		s := start(t, client, "many", "1000", "300").supervised()
		read := func(want string) {
			t.Helper()
			if line, _ := s.stdout.ReadString('\n'); line != want {
				t.Fatalf("the program printed %q: %s", line, s.stderr.String())
			}
		}
		read("held 300\n")
		held := descriptors(t, s.pid)
		if held < 300 || held > 340 {
			t.Errorf("the supervisor has %d descriptors for 300 sockets", held)
		}
		s.stdin.Write([]byte{0})
		read("closed\n")
		for deadline := time.Now().Add(patience); descriptors(t, s.pid) > 40; {
			if time.Now().After(deadline) {
				t.Fatalf("the supervisor has %d descriptors for no socket", descriptors(t, s.pid))
			}
			runtime.Gosched() // the echoes are on their way out
		}
		s.stdin.Close()
		s.wait()
		if told := strings.Count(s.gone(), "hello "); told != 1300 {
			t.Errorf("%d sockets were made, want 1300", told)
		}
	})
}

// TestHostile has programs play with what the supervisor looks at, and die while it
// does: it must answer all the same, and keep nothing of theirs.
func TestHostile(t *testing.T) {
	each(t, func(t *testing.T, client string, bits int) {
		s := start(t, client, "hostile").supervised()
		s.read("hammered\n")
		for deadline := time.Now().Add(patience); descriptors(t, s.pid) > 40; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the supervisor has %d descriptors for no socket", descriptors(t, s.pid))
			}
		}
		s.stdin.Write([]byte{0})
		want := fmt.Sprintf("bind: ok\ngetsockname: family 16 port pid length 12\nrecvfrom: hello (family 2, %d bits) from port 0 address length 12\n", bits)
		if got := s.output(); got != want {
			t.Errorf("output %q, want %q", got, want)
		}
		if status := s.wait(); status != 0 {
			t.Errorf("status %#x", status)
		}
		s.gone()
		if got := s.stderr.String(); got != "" {
			t.Errorf("standard error %q", got)
		}
	})
}

// TestHello checks that the queue handler learns who asks.
func TestHello(t *testing.T) {
	each(t, func(t *testing.T, client string, bits int) {
		s := start(t, client, "basic", "13").supervised()
		s.output()
		s.wait()
		if got, want := s.gone(), fmt.Sprintf("hello 10 %[1]d 0\nbind %[2]d\nbind %[2]d\n", bits, s.cmd.Process.Pid); got != want {
			t.Errorf("the handler was told %q, want %q", got, want)
		}
	})
}

// TestSupervisorAside checks that the supervisor and the watcher hold none of the
// program's files and are in nobody's way, and that the supervisor is nobody's
// child.
func TestSupervisorAside(t *testing.T) {
	read, write := pipe(t)
	cmd := exec.Command(executable(t), client(t, "amd64"), "wait")
	cmd.ExtraFiles = []*os.File{write, write, write, write} // 3 is a number of the supervisor's own
	s := startCommand(t, cmd).supervised()
	s.stdout.ReadString('\n')
	for _, f := range []*os.File{read, s.stdin, s.reads} {
		of, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range []int{s.pid, s.watcher()} {
			held, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
			if err != nil {
				t.Fatal(err)
			}
			for _, fd := range held {
				if link, _ := os.Readlink(fd); link == of {
					t.Errorf("%s is open on %s", fd, link)
				}
			}
			if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); dir != "/" {
				t.Errorf("process %d is in %s: %v", pid, dir, err)
			}
		}
	}
	sid, err := unix.Getsid(s.pid)
	if err != nil || sid != s.pid {
		t.Errorf("the supervisor %d is in session %d: %v", s.pid, sid, err)
	}
	for _, pid := range []int{os.Getpid(), s.cmd.Process.Pid} {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil || strings.Contains(" "+string(children), fmt.Sprintf(" %d ", s.pid)) {
			t.Errorf("process %d has the children %s: %v", pid, children, err)
		}
	}
	s.stdin.Close()
	s.wait()
	s.gone()
}

// Signals to the supervisor's threads, which the Go runtime sends itself, do not change what a call returns.
func TestSupervisorInterrupted(t *testing.T) {
	s := start(t, client(t, runtime.GOARCH), "repeat", "3000").supervised()
	stop := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for {
			threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", s.pid))
			for _, dir := range threads {
				tid, _ := strconv.Atoi(filepath.Base(dir))
				for range 20 {
					unix.Tgkill(s.pid, tid, unix.SIGURG)
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	got := s.output()
	close(stop)
	sending.Wait()
	if got != "repeated\n" {
		t.Errorf("output %q, want repeated", got)
	}
	s.wait()
	s.gone()
}

// TestSupervisorSignals checks that the supervisor and the watcher are not ended
// by what is meant for the program.
func TestSupervisorSignals(t *testing.T) {
	s := start(t, client(t, "amd64"), "wait").supervised()
	s.stdout.ReadString('\n')
	for _, pid := range []int{s.pid, s.watcher()} {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, ignored, _ := strings.Cut(string(status), "SigIgn:")
		var mask uint64
		fmt.Sscanf(ignored, "%x", &mask)
		for _, signal := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE} {
			if mask>>(signal-1)&1 == 0 {
				t.Errorf("process %d does not ignore %v, which is for the program", pid, signal)
			}
		}
	}
	s.stdin.Close()
	s.wait()
	s.gone()
}

// TestSupervisorGone: a program whose supervisor is killed gets no packets any
// more, and many would read the end of file for ever. It is terminated with a
// line that says why; processes that have no socket are left alone, and are
// refused one.
func TestSupervisorGone(t *testing.T) {
	const line = `report: the supervisor (process %d) was killed or has failed, so no packets come any more: terminating "client-%s" (process %d)` + "\n"
	for _, tt := range []struct {
		name   string
		args   []string
		signal syscall.Signal
	}{
		{"ends at SIGTERM", []string{"again", "hello"}, unix.SIGTERM},
		{"ignores SIGTERM", []string{"again", "hello", "ignore"}, unix.SIGKILL},
		{"does not read", []string{"wait"}, unix.SIGTERM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, client string, bits int) {
				s := start(t, append([]string{client}, tt.args...)...).supervised()
				s.read("made\n")
				unix.Kill(s.pid, unix.SIGKILL)
				if status := s.wait(); !status.Signaled() || status.Signal() != tt.signal {
					t.Errorf("the program ends with %#x, want %v", status, tt.signal)
				}
				_, goarch, _ := strings.Cut(filepath.Base(client), "-")
				if got, want := s.stderr.String(), fmt.Sprintf(line, s.pid, goarch, s.cmd.Process.Pid); got != want {
					t.Errorf("standard error %q, want %q", got, want)
				}
				s.gone()
			})
		})
	}
	t.Run("no socket", func(t *testing.T) {
		s := start(t, "sh", "-c", `"$0" again hello; echo "status $?"; read line; "$0" basic 3`, client(t, runtime.GOARCH)).supervised()
		s.read("made\n")
		unix.Kill(s.pid, unix.SIGKILL)
		s.read("status 143\n")
		fmt.Fprintln(s.stdin)
		s.read("socket: errno 38\n")
		if status := s.wait(); status.ExitStatus() != 1 {
			t.Errorf("the shell ends with %#x", status)
		}
		s.gone()
	})
}

// TestSupervisorGoneElsewhere: a process that was given a socket and is not under
// the supervisor, here this one, is left alone.
func TestSupervisorGoneElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gift")
	l := listen(t, path)
	s := start(t, "sh", "-c", `"$0" give "$1"; exec "$0" again hello`, client(t, runtime.GOARCH), path).supervised()
	gift := receiveGift(t, l)
	s.read("give: ok\n")
	s.read("made\n")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM)
	defer signal.Stop(signals)
	unix.Kill(s.pid, unix.SIGKILL)
	if status := s.wait(); !status.Signaled() || status.Signal() != unix.SIGTERM {
		t.Errorf("the program ends with %#x, want SIGTERM", status)
	}
	if got := s.stderr.String(); strings.Count(got, "(process ") != 2 { // the supervisor and the program
		t.Errorf("standard error %q", got)
	}
	s.gone()
	s.alone()
	select {
	case <-signals:
		t.Error("this process was to be terminated")
	default:
	}
	if n, err := gift.Read(make([]byte, 100)); n != 0 {
		t.Errorf("%d bytes came, %v; want the end", n, err)
	}
}

// TestSupervisorGoneOtherUser: nor does a program have a process of another user
// terminated by giving it a socket, whatever filters that has.
func TestSupervisorGoneOtherUser(t *testing.T) {
	user := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
	sandbox.Require(t, "root", exec.Command(user[0], append(user[1:], "true")...).Run() == nil, "needs a second user")
	path, client := filepath.Join(t.TempDir(), "gift"), client(t, runtime.GOARCH)
	l := listen(t, path)
	err := errors.Join(os.Chmod(filepath.Dir(client), 0o755), os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755),
		os.Chmod(filepath.Dir(path), 0o755), os.Chmod(path, 0o777))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, append(user, "sh", "-c", `"$0" give "$1"; exec "$0" again hello`, client, path)...).supervised()
	gift := receiveGift(t, l)
	s.read("give: ok\n")
	s.read("made\n")
	cmd := exec.Command(executable(t), "sh", "-c", "echo ready; read line; echo lives")
	cmd.ExtraFiles = []*os.File{gift}
	other := startCommand(t, cmd).supervised()
	other.read("ready\n")
	unix.Kill(s.pid, unix.SIGKILL)
	if status := s.wait(); !status.Signaled() || status.Signal() != unix.SIGTERM {
		t.Errorf("the program ends with %#x, want SIGTERM", status)
	}
	s.gone()
	s.alone()
	fmt.Fprintln(other.stdin)
	other.read("lives\n")
	other.wait()
	other.gone()
}

// alone waits for all processes that the launcher has started to end.
func (s *session) alone() {
	s.t.Helper()
	for deadline := time.Now().Add(patience); len(marked(environWatch+"="+s.accept.Addr().String())) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("the watcher stays")
		}
	}
}

// marked lists the processes with a variable in their environment.
func marked(variable string) (found []string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		if b, _ := os.ReadFile(path); strings.Contains(string(b), variable+"\x00") {
			found = append(found, path)
		}
	}
	return found
}

// TestHangUp: a program whose socket the queue handler has ended is terminated
// like one whose supervisor is gone; the supervisor goes on.
func TestHangUp(t *testing.T) {
	each(t, func(t *testing.T, client string, bits int) {
		s := start(t, "sh", "-c", `"$0" again "`+hangUp+`"; echo "status $?"; "$0" basic 3`, client).supervised()
		s.read("made\n")
		s.read("status 143\n")
		s.read("bind: ok\n")
		s.output()
		s.wait()
		s.gone()
		if got, want := s.stderr.String(), "report: the queue handler, or the service (ipq emulate), was stopped, so no packets come any more: terminating "; !strings.HasPrefix(got, want) || strings.Count(got, "report:") != 1 {
			t.Errorf("standard error %q, want one report, %q", got, want)
		}
	})
}

// TestScarce checks that a supervisor without descriptors refuses new sockets,
// and still answers calls about those that there are.
func TestScarce(t *testing.T) {
	each(t, func(t *testing.T, client string, bits int) {
		s := startCommand(t, exec.Command("sh", "-c", `ulimit -n 100; exec "$@"`, "sh", executable(t), client, "few")).supervised()
		s.stdin.Close()
		want := fmt.Sprintf("socket: errno 23\nmore than a few: true\nsocket, with all closed: ok\nrecvfrom: hello (family 2, %d bits) from port 0 address length 12\n", bits)
		if got := s.output(); got != want {
			t.Errorf("output %q, want %q", got, want)
		}
		s.wait()
		s.gone()
		if got := s.stderr.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "too many open files in system") {
			t.Errorf("standard error %q, want one line about open files", got)
		}
	})
}

// TestFaults has things go wrong, each of which must be told.
func TestFaults(t *testing.T) {
	c := client(t, "amd64")
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("echo a script without an interpreter: $1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	lost := filepath.Join(dir, "lost")
	if err := os.WriteFile(lost, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("\x7fELF\x02\x01\x01 and no more"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		environ string
		program []string
		status  int
		stdout  string
		stderr  string
	}{
		{"no handler", environFault + "=" + faultOpen, []string{c, "basic", "3"}, launcherFailed, "", "no handler today\n"},
		{"no connection", environFault + "=" + faultConnect, []string{c, "basic", "3"}, 1, "socket: errno 93\n", "no connection today"},
		{"hidden", environFault + "=" + faultBlind, []string{c, "hidden"}, 1, "socket: errno 93\n", "cannot see the descriptors of thread"},
		{"hidden from nobody", "", []string{c, "hidden"}, 0, "bind: ok\n", ""},
		{"no groups", environFault + "=" + faultWeak, []string{c, "groups"}, 0, "bind with groups: errno 1\n", ""},
		{"script", "", []string{script, "argument"}, 0, "a script without an interpreter: argument\n", ""},
		{"no interpreter", "", []string{lost}, programNotFound, "", "execute " + lost + ": no such file or directory\n"},
		{"no program", "", []string{dir + "/none"}, launcherFailed, "", "no such file or directory"},
		{"nested", "", []string{"env", environRole + "=" + roleLaunch, environWatch + "=" + dir + "/watch", executable(t), c, "basic", "3"},
			launcherFailed, "", "already supervised"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "nested" {
				listen(t, dir+"/watch")
			}
			s := startWith(t, []string{tt.environ}, tt.program...)
			s.stdin.Close()
			if got := s.output(); got != tt.stdout {
				t.Errorf("standard output %q, want %q", got, tt.stdout)
			}
			if status := s.wait(); status.ExitStatus() != tt.status {
				t.Errorf("status %#x, want exit %d", status, tt.status)
			}
			if got := s.stderr.String(); !strings.Contains(got, tt.stderr) || got != "" && tt.stderr == "" {
				t.Errorf("standard error %q, want %q", got, tt.stderr)
			}
		})
	}
}
