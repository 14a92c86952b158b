//go:build linux

package trap_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
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
	"ipq/internal/trap"
	"ipq/ipqueue"
)

// The test binary plays the parts of ipq run too: with environRole set it is
// the launcher of the program in its arguments, or the supervisor.
const (
	environRole  = "IPQ_TRAP_ROLE"
	environWatch = "IPQ_TRAP_WATCH" // a socket on which the supervisor tells what it does
	environFault = "IPQ_TRAP_FAULT" // what shall go wrong

	roleLaunch    = "launch"
	roleSupervise = "supervise"

	environHandler = "IPQ_TRAP_HANDLER"
	handlerReal    = "real" // that of package ipqueue; else an echo

	faultOpen    = "open"     // there is no handler
	faultConnect = "connect"  // the handler refuses
	faultBlind   = "no-trace" // the supervisor may not look into processes that forbid it
	faultWeak    = "no-admin" // the program has no CAP_NET_ADMIN

	launcherFailed  = 125
	programFailed   = 126
	programNotFound = 127
)

func TestMain(m *testing.M) {
	switch os.Getenv(environRole) {
	case roleLaunch:
		os.Exit(launcher())
	case roleSupervise:
		os.Exit(superviser())
	}
	sandbox.Main(clearing{m})
}

// clearing removes what the tests have built, when all of them are done.
type clearing struct{ *testing.M }

func (m clearing) Run() int {
	code := m.M.Run()
	if clients.dir != "" {
		os.RemoveAll(clients.dir)
	}
	return code
}

func launcher() int {
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGTERM) // as a command does
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "IPQ_TRAP_") {
			env = append(env, v)
		}
	}
	os.Setenv(environRole, roleSupervise)
	if capability, ok := map[string]uintptr{faultBlind: unix.CAP_SYS_PTRACE, faultWeak: unix.CAP_NET_ADMIN}[os.Getenv(environFault)]; ok {
		runtime.LockOSThread() // this thread executes the supervisor and the program
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return launcherFailed
		}
	}
	path, err := exec.LookPath(os.Args[1])
	if err == nil {
		err = trap.Launch(trap.Program{Path: path, Args: os.Args[1:], Env: env}, "trap-test-supervisor")
	}
	fmt.Fprintln(os.Stderr, err)
	var failed *trap.ExecError
	if errors.As(err, &failed) {
		if errors.Is(err, fs.ErrNotExist) {
			return programNotFound
		}
		return programFailed
	}
	return launcherFailed
}

func superviser() int {
	err := trap.Supervise(func() (trap.Handler, error) {
		watch, err := net.Dial("unix", os.Getenv(environWatch))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(watch, "pid %d\n", os.Getpid())
		return openHandler(watch)
	}, report)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func report(message string) { fmt.Fprintln(os.Stderr, "report:", message) }

func openHandler(watch net.Conn) (trap.Handler, error) {
	if os.Getenv(environFault) == faultOpen {
		return nil, errors.New("no handler today")
	}
	if os.Getenv(environHandler) == handlerReal {
		h, err := trap.OpenOwn(report)
		if err != nil {
			return nil, err
		}
		return &telling{h, h.(interface{ Status() ipqueue.Status }), watch}, nil
	}
	return &echo{watch: watch}, nil
}

// A telling handler tells what it has lost when it is closed.
type telling struct {
	trap.Handler
	handler interface{ Status() ipqueue.Status }
	watch   net.Conn
}

func (h *telling) Close() error {
	err := h.Handler.Close()
	s := h.handler.Status().IPv4
	fmt.Fprintf(h.watch, "lost %d %d\n", s.QueueDropped, s.NetlinkDropped)
	return err
}

// hangUp makes an echo end the socket that it comes from, as a queue handler does
// that is stopped.
const hangUp = "hang up"

// An echo is a queue handler that knows one answer: the request, and what the
// hello said. Its sockets are of the kind that package ipqueue makes.
type echo struct {
	watch net.Conn
	mu    sync.Mutex
}

func (e *echo) Connect(h ipqueue.Hello) (*os.File, error) {
	if os.Getenv(environFault) == faultConnect {
		return nil, errors.New("no connection today")
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(e.watch, "hello %d %d %d\n", h.Family, h.WordSize, h.PID)
	for n := 1; ; n++ { // a name of ten bytes, with those that are the port zero
		err := unix.Bind(fds[0], &unix.SockaddrUnix{Name: fmt.Sprintf("@%c\x00\x00\x00\x00%04x", n>>16, n&0xffff)})
		if err == nil {
			break
		}
		if err != unix.EADDRINUSE {
			return nil, err
		}
	}
	handler := os.NewFile(uintptr(fds[0]), "handler")
	go func() {
		defer handler.Close()
		b := make([]byte, 1024)
		for {
			n, err := handler.Read(b)
			if err != nil || n == 0 || string(b[:n]) == hangUp {
				return
			}
			fmt.Fprintf(handler, "%s (family %d, %d bits)", b[:n], h.Family, h.WordSize)
		}
	}()
	return os.NewFile(uintptr(fds[1]), "program"), nil
}

func (e *echo) Bind(inode, port uint32) (uint32, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintf(e.watch, "bind %d\n", port)
	return port, nil
}

func (e *echo) Close() error { return e.watch.Close() }

// client builds testdata/client, once for each GOARCH.
func client(t testing.TB, goarch string) string {
	t.Helper()
	clients.Lock()
	defer clients.Unlock()
	if path, ok := clients.built[goarch]; ok {
		return path
	}
	goTool, err := exec.LookPath("go")
	sandbox.Require(t, "go", err == nil, "the go command is not in PATH, and the tests build a program with it")
	if clients.dir == "" {
		if clients.dir, err = os.MkdirTemp("", "trap-test-"); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(clients.dir, "client-"+goarch)
	os.ReadDir("testdata/client") // a cached result ends with it
	cmd := exec.Command(goTool, "build", "-buildvcs=false", "-o", path, ".")
	cmd.Dir = "testdata/client"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+goarch, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the client for %s: %v\n%s", goarch, err, out)
	}
	if goarch == "386" {
		err := exec.Command(path, "getpid").Run()
		var exit *exec.ExitError
		sandbox.Require(t, "386", err == nil || errors.As(err, &exit), "this kernel does not execute 32-bit programs (CONFIG_IA32_EMULATION)")
	}
	clients.built[goarch] = path
	return path
}

var clients = struct {
	sync.Mutex
	dir   string
	built map[string]string
}{built: make(map[string]string)}

// patience bounds every wait; no test relies on its length.
const patience = 20 * time.Second

// A session is a program that runs under a launcher, and its supervisor.
type session struct {
	t       testing.TB
	cmd     *exec.Cmd
	timer   *time.Timer
	stdin   *os.File
	reads   *os.File // the end of standard output that stdout reads
	stdout  *bufio.Reader
	stderr  lockedBuffer
	quiet   chan struct{} // closed when nobody can write to standard error
	accept  *net.UnixListener
	watch   net.Conn
	told    lockedBuffer // what the supervisor has told
	silence chan error   // how its telling ended
	waited  bool
	pid     int // of the supervisor
}

// start launches a program. What it prints is read from stdout.
func start(t testing.TB, program ...string) *session {
	t.Helper()
	return startWith(t, nil, program...)
}

// startWith is start with more in the environment of the launcher.
func startWith(t testing.TB, environ []string, program ...string) *session {
	t.Helper()
	cmd := exec.Command(executable(t), program...)
	cmd.Env = environ
	return startCommand(t, cmd)
}

// startCommand starts a command that becomes the launcher.
func startCommand(t testing.TB, cmd *exec.Cmd) *session {
	t.Helper()
	return startOn(t, cmd, nil)
}

// startOn is startCommand, with a terminal for standard input and output.
func startOn(t testing.TB, cmd *exec.Cmd, terminal *os.File) *session {
	t.Helper()
	s := &session{t: t, cmd: cmd}
	sock := filepath.Join(t.TempDir(), "w")
	s.accept = listen(t, sock)
	cmd.Env = append(append(os.Environ(), environRole+"="+roleLaunch, environWatch+"="+sock,
		"GORACE=atexit_sleep_ms=0"), // what -race adds to every end of a process is for goroutines still running
		cmd.Env...)
	// Pipes of our own: Wait does not close them.
	input, stdin := pipe(t)
	stdout, output := pipe(t)
	stdout.SetReadDeadline(time.Now().Add(3 * patience)) // a descendant that hangs may hold the other end
	cmd.Stdin, s.stdin = input, stdin
	cmd.Stdout, s.reads, s.stdout = output, stdout, bufio.NewReader(stdout)
	if terminal != nil {
		cmd.Stdin, cmd.Stdout = terminal, terminal
	}
	stderr, errors := pipe(t)
	cmd.Stderr = errors
	err := cmd.Start()
	input.Close()
	output.Close()
	errors.Close()
	if err != nil {
		t.Fatal(err)
	}
	s.quiet = make(chan struct{})
	go func() {
		io.Copy(&s.stderr, stderr)
		close(s.quiet)
	}()
	s.timer = time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
	t.Cleanup(s.end)
	return s
}

// A lockedBuffer can be looked at while a program still writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func listen(t testing.TB, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func executable(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// supervised waits for the supervisor to have opened its handler.
func (s *session) supervised() *session {
	s.t.Helper()
	s.accept.SetDeadline(time.Now().Add(patience))
	var err error
	if s.watch, err = s.accept.Accept(); err != nil {
		s.t.Fatalf("no supervisor: %v\n%s", err, s.stderr.String())
	}
	s.watch.SetDeadline(time.Now().Add(2 * patience))
	lines := bufio.NewReader(s.watch)
	line, _ := lines.ReadString('\n')
	if _, err := fmt.Sscanf(line, "pid %d", &s.pid); err != nil {
		s.t.Fatalf("the supervisor said %q", line)
	}
	s.silence = make(chan error, 1)
	go func() {
		_, err := io.Copy(&s.told, lines)
		s.silence <- err
	}()
	return s
}

// read reads the next line that the program prints.
func (s *session) read(want string) {
	s.t.Helper()
	if line, err := s.stdout.ReadString('\n'); line != want {
		s.t.Fatalf("the program printed %q, %v, want %q: %s", line, err, want, s.stderr.String())
	}
}

// watcher waits for the watcher to have begun, and returns its process id.
func (s *session) watcher() int {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.pid))
		if err != nil {
			s.t.Fatal(err)
		}
		var children string
		for _, of := range threads {
			b, _ := os.ReadFile(of)
			children += " " + string(b)
		}
		for child := range strings.FieldsSeq(children) {
			if comm, _ := os.ReadFile("/proc/" + child + "/comm"); string(comm) == "ipq run watcher\n" {
				pid, err := strconv.Atoi(child)
				if err != nil {
					s.t.Fatal(err)
				}
				return pid
			}
		}
	}
	s.t.Fatal("no watcher")
	return 0
}

// wait returns how the program ended.
func (s *session) wait() syscall.WaitStatus {
	if !s.waited {
		s.waited = true
		s.cmd.Wait() // what it returns, ProcessState says
		select {
		case <-s.quiet:
		case <-time.After(patience):
			s.t.Errorf("standard error stays open when the program is gone")
		}
	}
	return s.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// output returns the rest of what the program prints, after its end.
func (s *session) output() string {
	b, _ := io.ReadAll(s.stdout)
	return string(b)
}

// gone waits for the supervisor to end and returns what it has told.
func (s *session) gone() string {
	s.t.Helper()
	if err := <-s.silence; err != nil {
		s.t.Fatalf("the supervisor (process %d) has not ended: %v", s.pid, err)
	}
	return s.told.String()
}

func (s *session) end() {
	s.timer.Stop()
	if !s.waited {
		s.cmd.Process.Kill()
	}
	s.wait()
	if s.watch != nil {
		s.watch.Close()
	}
}

// run launches a program and returns what it printed, and how it ended. The
// supervisor must have ended, and said nothing, by then.
func run(t testing.TB, program ...string) (string, syscall.WaitStatus) {
	t.Helper()
	s := start(t, program...).supervised()
	s.stdin.Close()
	out := s.output()
	status := s.wait()
	s.gone()
	if s.stderr.String() != "" {
		t.Errorf("standard error: %s", s.stderr.String())
	}
	return out, status
}

// native runs a program with no supervisor.
func native(t testing.TB, program ...string) string {
	t.Helper()
	cmd := exec.Command(program[0], program[1:]...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// descriptors counts the open files of a process.
func descriptors(t testing.TB, pid int) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
