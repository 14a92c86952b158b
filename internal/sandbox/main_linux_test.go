package sandbox_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
)

// childMode names what an execution of the test binary does in place of tests.
const childMode = "SANDBOX_TEST_CHILD"

// child takes the place of testing.M.
type child string

func TestMain(m *testing.M) {
	switch mode := os.Getenv(childMode); mode {
	case "":
		sandbox.Main(m)
	case "forbid":
		forbid()
	case "where":
		ns, _ := os.Readlink("/proc/self/ns/net")
		fmt.Println(ns)
	default:
		sandbox.Main(child(mode))
	}
}

var kept *os.File

func (c child) Run() int {
	switch c {
	case "available":
		fmt.Println(sandbox.Available())
	case "namespace":
		ns, _ := os.Readlink("/proc/self/ns/net")
		fmt.Println(ns, os.Args[1:])
	case "exit":
		return 7
	case "kill": // by a program without Go's handlers
		fmt.Println(syscall.Exec("/bin/sh", []string{"sh", "-c", "kill -$0 $$", os.Args[1]}, nil))
	case "descriptors":
		syscall.Write(3, []byte("3"))
		syscall.Write(4, []byte("4"))
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
	case "leak":
		kept, _ = os.Open(os.DevNull)
		go func() { select {} }()
	case "signal":
		s := make(chan os.Signal, 1)
		signal.Notify(s, syscall.SIGTERM, syscall.SIGINT)
		fmt.Println("ready")
		<-s
		return 42
	case "hang":
		fmt.Println("ready")
		select {}
	case "interrupts":
		s := make(chan os.Signal, 16)
		signal.Notify(s, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
		fmt.Println("ready")
		for {
			got := <-s
			fmt.Println(got)
			if got == syscall.SIGTERM {
				return 0
			}
		}
	}
	return 0
}

// forbid makes the user namespace that it is called in allow no others inside,
// and executes the binary again.
func forbid() {
	for _, file := range []string{"user", "net"} {
		if err := os.WriteFile("/proc/sys/user/max_"+file+"_namespaces", []byte("0"), 0); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Setenv(childMode, "available")
	fmt.Println(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	os.Exit(1)
}

// start prepares an execution of the test binary.
func start(t *testing.T, mode string) *exec.Cmd {
	t.Helper()
	sandbox.RequireNamespaces(t)
	// By the link, because the directory may be closed to another user.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), childMode+"="+mode, "GORACE=atexit_sleep_ms=0")
	return cmd
}

func wantExit(t *testing.T, err error, want int) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != want {
		t.Errorf("it ended with %v, want exit status %d", err, want)
	}
}

func TestMainIsTransparent(t *testing.T) {
	t.Run("status", func(t *testing.T) {
		wantExit(t, start(t, "exit").Run(), 7)
	})
	t.Run("standard files", func(t *testing.T) {
		cmd := start(t, "cat")
		cmd.Stdin = strings.NewReader("to and fro")
		if out, err := cmd.Output(); string(out) != "to and fro" || err != nil {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("namespace and arguments", func(t *testing.T) {
		here, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		cmd := start(t, "namespace")
		cmd.Args = append(cmd.Args, "-test.run=X", "a b")
		out, err := cmd.Output()
		ns, args, _ := strings.Cut(string(out), " ")
		if err != nil || !strings.HasPrefix(ns, "net:[") || ns == here || args != "[-test.run=X a b]\n" {
			t.Errorf("%q, %v; started in %s", out, err, here)
		}
	})
}

// Without CAP_SYS_ADMIN there is a process between the caller and the one
// inside. It must not be noticed, nor leave the inner one behind.
func TestMainAsOrdinaryUser(t *testing.T) {
	ordinary := func(t *testing.T, mode string) *exec.Cmd {
		cmd := start(t, mode)
		if mapped("/proc/self/uid_map", 65534) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		} // else these tests are run by an ordinary user already, who is 0 in here
		return cmd
	}
	t.Run("inside", func(t *testing.T) {
		if out, err := ordinary(t, "available").Output(); string(out) != "<nil>\n" || err != nil {
			t.Errorf("%s, %v", out, err)
		}
	})
	t.Run("status", func(t *testing.T) {
		wantExit(t, ordinary(t, "exit").Run(), 7)
	})
	t.Run("descriptors", func(t *testing.T) {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		cmd := ordinary(t, "descriptors")
		cmd.ExtraFiles = []*os.File{write, write}
		err = cmd.Run()
		write.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(read); string(got) != "34" || err != nil {
			t.Errorf("through its descriptors 3 and 4 came %q, %v", got, err)
		}
	})
	t.Run("killed", func(t *testing.T) {
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGSEGV, syscall.SIGABRT} {
			cmd := ordinary(t, "kill")
			cmd.Args = append(cmd.Args, fmt.Sprint(int(signal)))
			cmd.Run() // what it returns, ProcessState says
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != signal || status.CoreDump() {
				t.Errorf("a program that ended by %v is seen to end with %#x", signal, status)
			}
		}
	})
	for _, c := range []struct {
		mode   string
		signal os.Signal
	}{{"signal", syscall.SIGTERM}, {"signal", syscall.SIGINT}, {"hang", syscall.SIGKILL}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			cmd := ordinary(t, c.mode)
			if cmd.SysProcAttr == nil {
				cmd.SysProcAttr = &syscall.SysProcAttr{}
			}
			cmd.SysProcAttr.Setpgid = true // SIGINT is not passed on in the foreground of a terminal
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
				t.Fatal(err)
			}
			cmd.Process.Signal(c.signal)
			// Only when the inner process has ended, too, does its output end.
			ended := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, out)
				ended <- err
			}()
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Errorf("the process inside outlives %v of the one outside", c.signal)
				cmd.Process.Kill()
			}
			err = cmd.Wait()
			if c.mode == "signal" {
				wantExit(t, err, 42)
			}
		})
	}
}

// TestTerminalSignals types ^C and ^\: the process inside, which the terminal has
// in its foreground group like the one outside, must get each of them once.
func TestTerminalSignals(t *testing.T) {
	keyboard, terminal := openTerminal(t)
	cmd := start(t, "interrupts")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if mapped("/proc/self/uid_map", 65534) {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	screen := bufio.NewReader(keyboard)
	shows := func(want string) {
		t.Helper()
		timer := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer timer.Stop()
		got, err := screen.ReadString('\n')
		got = strings.NewReplacer("^C", "", "^\\", "", "\r\n", "").Replace(got) // the echo, and the line's end
		if got != want {
			t.Fatalf("the terminal shows %q, %v, want %q", got, err, want)
		}
	}
	shows("ready")
	fmt.Fprint(keyboard, "\x03")
	shows("interrupt")
	fmt.Fprint(keyboard, "\x1c")
	shows("quit")
	// What is passed on comes in order, so before this one.
	cmd.Process.Signal(syscall.SIGTERM)
	shows("terminated")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// openTerminal returns both ends of a new pseudo-terminal.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	sandbox.Require(t, "pty", err == nil, fmt.Sprint("the test types on a terminal: ", err))
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	sandbox.Require(t, "pty", err == nil, fmt.Sprint("the test types on a terminal: ", err))
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// mapped reports whether a user namespace has a uid.
func mapped(file string, uid uint32) bool {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		var first, outside, count uint32
		fmt.Sscan(line, &first, &outside, &count)
		if uid >= first && uid-first < count {
			return true
		}
	}
	return false
}

func TestMainReportsLeaks(t *testing.T) {
	t.Parallel()
	cmd := start(t, "leak")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	wantExit(t, cmd.Run(), 1)
	for _, want := range []string{"child.Run.func", "is open on /dev/null"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is not in the report:\n%s", want, &stderr)
		}
	}
}

// An execution that is told to be inside, and is not, must not run the tests.
func TestMainAbortsOutside(t *testing.T) {
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Skip("needs Linux")
	}
	const same, used = "still in the caller's network namespace", "lo is up already"
	for env, want := range map[string]string{
		"root " + here: same, // nothing has changed
		"net " + here:  same,
		"root net:[1]": used, // changed, but not a new one
		"root ":        same,
		"net":          same,
	} {
		cmd := start(t, "exit")
		cmd.Env = append(cmd.Env, "IPQ_SANDBOX="+env)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), want) {
			t.Errorf("IPQ_SANDBOX=%q: %s%v; want %q", env, out, err, want)
		}
	}
}

// Where namespaces are forbidden the tests run, know it, and are told why.
func TestMainForbidden(t *testing.T) {
	cmd := start(t, "forbid")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s%v", out, err)
	}
	for _, want := range []string{"no space left on device", "max_user_namespaces is 0", "sysctl -w user.max_user_namespaces="} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in %q", want, out)
		}
	}
}
