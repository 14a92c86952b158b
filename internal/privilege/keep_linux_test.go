package privilege_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/privilege"
	"ipq/internal/sandbox"
)

// role makes the test binary another process: one that gives up privileges ("none" and "all" are what Seal leaves it), or one
// of bench_linux_test.go.
const role = "IPQ_TEST_PRIVILEGE"

func TestMain(m *testing.M) {
	if needs := os.Getenv(role); needs != "" {
		var err error
		switch needs {
		case callsPlain, callsSealed:
			err = calls(needs == callsSealed)
		default:
			err = restricted(needs == "all")
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	sandbox.Main(m)
}

// restricted is that process. It prints what it has kept, or an error that says which thread has too much, or which call is
// not as it should be.
func restricted(all bool) error {
	// A descriptor that was opened before the execution would not be there after it.
	if err := privilege.Keep(context.Background(), privilege.NetAdmin); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ipq-test-")
	if err != nil {
		return err
	}
	defer os.Remove(dir) // what is left in it, the filter keeps
	file := filepath.Join(dir, "file")
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(file)

	// Threads of before the filter.
	var threads sync.WaitGroup
	hold := make(chan struct{})
	defer threads.Wait()
	defer close(hold)
	start := func() {
		started := make(chan bool)
		threads.Go(func() {
			runtime.LockOSThread() // so that each needs a thread
			started <- true
			<-hold
		})
		<-started
	}
	for range 8 {
		start()
	}
	needs := privilege.Needs(0)
	if all {
		needs = privilege.WriteFiles | privilege.UnixSockets
	}
	if err := privilege.Seal(needs); err != nil {
		return err
	}
	for range 8 { // and of after
		start()
	}
	s, err := privilege.Of("/proc", os.Getpid())
	switch {
	case err != nil:
		return err
	case s.Capabilities&^privilege.NetAdmin != 0 || !s.NoNewPrivs || !s.Filtered:
		return fmt.Errorf("a thread has %+v (%v)", s, s.Capabilities)
	}
	fmt.Println(s.Capabilities)
	return errors.Join(refused(), writing(dir, file, all), allowed(file))
}

// errno runs a system call with arguments that the kernel refuses by another error than EPERM, if the filter does not.
func errno(nr uintptr, args ...uintptr) syscall.Errno {
	args = append(args, make([]uintptr, 6)...)
	_, _, err := unix.RawSyscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5])
	return err
}

func refused() (err error) {
	const none = ^uintptr(0)
	for name, got := range map[string]syscall.Errno{
		"execve":            errno(unix.SYS_EXECVE),
		"execveat":          errno(unix.SYS_EXECVEAT, none),
		"ptrace":            errno(unix.SYS_PTRACE, none, none),
		"io_uring_setup":    errno(unix.SYS_IO_URING_SETUP),
		"setns":             errno(unix.SYS_SETNS, none),
		"unshare":           errno(unix.SYS_UNSHARE),
		"clone, a new user": errno(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_SIGHAND),
		"keyctl":            errno(unix.SYS_KEYCTL, none),
		"setresuid":         errno(unix.SYS_SETRESUID, none, none, none),
	} {
		if got != unix.EPERM {
			err = errors.Join(err, fmt.Errorf("%s: %v, want EPERM", name, got))
		}
	}
	for name, nr := range map[string]uintptr{"clone3": unix.SYS_CLONE3, "openat2": unix.SYS_OPENAT2} {
		if got := errno(nr, none); got != unix.ENOSYS {
			err = errors.Join(err, fmt.Errorf("%s: %v, want ENOSYS", name, got))
		}
	}
	return err
}

// writing tries what needs to be asked for.
func writing(dir, file string, asked bool) (err error) {
	write, openErr := os.OpenFile(file, os.O_RDWR, 0)
	if openErr == nil {
		write.Close()
	}
	socket, socketErr := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if socketErr == nil {
		unix.Close(socket)
	}
	// A datagram socket that is connected to another still sends to any name.
	pair, pairErr := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if pairErr == nil {
		unix.Close(pair[0])
		unix.Close(pair[1])
	}
	if got := errno(unix.SYS_SETXATTRAT, ^uintptr(0)); (got == unix.EPERM) == asked {
		err = fmt.Errorf("setxattrat: %v, and asked for is %t", got, asked)
	}
	for name, got := range map[string]error{
		"open to write": openErr,
		"chmod":         os.Chmod(file, 0o600),
		"rename":        os.Rename(file, file),
		"mkdir":         os.Mkdir(filepath.Join(dir, "d"), 0o700),
		"Unix socket":   socketErr,
		"datagram pair": pairErr,
	} {
		if want := !asked; errors.Is(got, os.ErrPermission) != want || !want && got != nil {
			err = errors.Join(err, fmt.Errorf("%s: %v, and asked for is %t", name, got, asked))
		}
	}
	os.Remove(filepath.Join(dir, "d"))
	return err
}

// allowed does what goes on as ever.
func allowed(file string) error {
	if _, err := os.ReadFile(file); err != nil {
		return err
	}
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET} {
		pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("a pair of Unix sockets: %w", err)
		}
		unix.Close(pair[0])
		unix.Close(pair[1])
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	l.Close()
	netlink, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("a netlink socket: %w", err)
	}
	unix.Close(netlink)
	return unix.Kill(os.Getpid(), 0)
}

func TestRestricted(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for _, c := range []struct {
		name string
		as   syscall.SysProcAttr
		kept string
	}{
		{"root", syscall.SysProcAttr{}, "CAP_NET_ADMIN"},
		// Without a map of ids nobody is root in a user namespace, so that an execution takes all capabilities.
		{"ordinary user", syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}, "none"},
		{"with capabilities", syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER, AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW},
		}, "CAP_NET_ADMIN"},
	} {
		for _, needs := range []string{"none", "all"} {
			t.Run(c.name+", "+needs, func(t *testing.T) {
				dir := t.TempDir()
				if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("/proc/self/exe")
				cmd.Env = append(os.Environ(), role+"="+needs, "TMPDIR="+dir)
				cmd.SysProcAttr = &c.as
				if out, err := cmd.CombinedOutput(); err != nil || string(out) != c.kept+"\n" {
					t.Errorf("%v\n%s, want %s", err, out, c.kept)
				}
			})
		}
	}
}
