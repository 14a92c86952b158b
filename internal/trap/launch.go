//go:build linux

package trap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Program is what Launch executes.
type Program struct {
	Path string   // the file
	Args []string // with the program's name first
	Env  []string
}

// An ExecError says that all was ready and the program could not be executed.
// Its cause is a [syscall.Errno].
type ExecError struct {
	Path string
	Err  error
}

func (e *ExecError) Error() string { return fmt.Sprintf("execute %s: %v", e.Path, e.Err) }
func (e *ExecError) Unwrap() error { return e.Err }

// Between the launcher and the supervisor, each line one datagram: the
// supervisor is "ready PID", the launcher sends the listener with one byte, the
// supervisor is "serving". Anything else from the supervisor is an error text.
const (
	sayReady   = "ready "
	sayServing = "serving"

	maxSay = 4096
)

// Launch executes a program in the place of the calling process, with a
// supervisor for it. The supervisor is this executable started with the command
// line that is given, name first, which must lead to [Supervise]. Launch returns
// only when the program could not be executed: an *[ExecError] when that was the
// program's fault. The calling process should then exit, as its main thread may
// have the filter.
//
// The program and its descendants have no_new_privs set: set-user-id programs
// and file capabilities give them nothing. A signal that was ignored, other than
// SIGHUP and SIGINT, is at its default in the program, because of Go's runtime.
//
// Requires at least Linux 5.14.
func Launch(p Program, supervisor ...string) error {
	switch runtime.GOARCH {
	case "amd64", "386", "arm64", "arm":
	default:
		return fmt.Errorf("trap: system calls of %s are not known to the supervisor: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	conn, err := startSupervisor(supervisor)
	if err != nil {
		return err
	}
	defer conn.Close()
	said, err := hear(conn, sayReady)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(said)
	if err != nil {
		return fmt.Errorf("trap: the supervisor said %q for its process id", said)
	}
	// Where Yama lets only ancestors look into a process this makes an exception
	// for the supervisor, for this process and not for its children. Elsewhere it
	// is EINVAL.
	unix.Prctl(unix.PR_SET_PTRACER, uintptr(pid), 0, 0, 0)

	// What the caller has asked to be told of would no longer be ignored in the
	// program where it was before.
	signal.Reset()
	// The filter is this thread's, and only the thread that executes survives.
	runtime.LockOSThread()
	listener, err := install()
	if err != nil {
		return fmt.Errorf("trap: %w", err)
	}
	err = sendFile(conn, listener)
	listener.Close()
	if err != nil {
		return err
	}
	if _, err := hear(conn, sayServing); err != nil {
		return err
	}
	return &ExecError{p.Path, execute(p)}
}

// execute does what execvp does, which runs a file that is not executable code
// and names no interpreter with the shell.
func execute(p Program) error {
	err := syscall.Exec(p.Path, p.Args, p.Env)
	if err == unix.ENOEXEC {
		args := append([]string{"sh", p.Path}, p.Args[1:]...)
		err = syscall.Exec("/bin/sh", args, p.Env)
	}
	return err
}

// startSupervisor starts the supervisor as nobody's child: a process between
// starts it and ends. The program would else have a child that it knows nothing
// of, and could wait for it.
func startSupervisor(args []string) (*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("trap: socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "supervisor"), os.NewFile(uintptr(fds[1]), "launcher")
	defer theirs.Close()
	between := exec.Cmd{Path: "/proc/self/exe", Args: args, Env: withoutWatcher(os.Environ()), Stderr: os.Stderr, ExtraFiles: []*os.File{theirs}}
	if err := between.Run(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("trap: start the supervisor: %w", err)
	}
	return ours, nil
}

// hear returns what the supervisor says after the word that is expected.
func hear(conn *os.File, word string) (string, error) {
	b := make([]byte, maxSay)
	n, err := conn.Read(b)
	if err == io.EOF {
		return "", errors.New("trap: the supervisor ended unexpectedly")
	}
	if err != nil {
		return "", fmt.Errorf("trap: hear from the supervisor: %w", err)
	}
	rest, ok := strings.CutPrefix(string(b[:n]), word)
	if !ok {
		return "", errors.New(string(b[:n]))
	}
	return rest, nil
}

// sendFile passes a descriptor on.
func sendFile(conn, f *os.File) error {
	err := unix.Sendmsg(int(conn.Fd()), []byte{0}, unix.UnixRights(int(f.Fd())), nil, unix.MSG_NOSIGNAL)
	if err != nil {
		return fmt.Errorf("trap: hand the listener to the supervisor: %w", err)
	}
	return nil
}
