package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// environment tells an execution how far it is: "STAGE NAMESPACE REASON", where
// NAMESPACE is the network namespace that the first execution was started in.
// The commands that run in a sandbox see "inside NAMESPACE".
//
// REASON, of stageUser and stageNet, is a descriptor: there an inner execution
// writes why it cannot go on; closed with nothing written, all is well. The first
// execution reads the other end. It has a number that the caller had no use for.
const environment = "IPQ_SANDBOX"

const (
	stageUser   = "user"   // in the new user namespace; the network is still the caller's
	stageNet    = "net"    // in both, started by stageUser
	stageRoot   = "root"   // in the new network namespace, no user namespace was needed
	stageInside = "inside" // checked and ready
)

// Enter returns nil inside a sandbox that is new and empty, with lo up. It gets
// there by executing the program again, so everything that the program did
// before Enter is done twice, and a caller that was outside never returns: it
// waits, and ends as the one inside does, by the same signal too. SIGTERM, SIGHUP,
// SIGINT and SIGQUIT are passed on, the last two not in the foreground of a
// terminal, which sends them to both. When the one outside is killed the one
// inside is, too, and so is a program that it executes from the main goroutine,
// which is locked to its thread for that.
//
// Where namespaces are forbidden Enter returns an error that says so and what
// to change; the program is then where it was. Call it once, early, from the
// main goroutine.
//
// Requires at least Linux 3.8.
func Enter() error {
	stage, outside, reason := position()
	switch stage {
	case stageUser:
		fail(reason, enterNet(stageNet, fmt.Sprint(outside, " ", reason)))
	case stageNet:
		if err := arrive(outside); err != nil {
			fail(reason, err)
		}
		unix.Close(reason)
		// A program that this one executes is to be killed, too. The signal belongs to
		// the thread that executes it, so the main goroutine stays on one that has it.
		runtime.LockOSThread()
		errUnavailable = dieWithParent()
	case stageRoot:
		if err := arrive(outside); err != nil {
			errUnavailable = err
			return err
		}
		errUnavailable = nil
	default:
		errUnavailable = leave()
	}
	return errUnavailable
}

// position reads environment.
func position() (stage, outside string, reason int) {
	reason = -1
	fmt.Sscan(os.Getenv(environment), &stage, &outside, &reason) // as much as there is
	return stage, outside, reason
}

// leave starts the executions inside. It returns only when they cannot be.
func leave() error {
	outside, err := currentNet()
	if err != nil {
		return fmt.Errorf("sandbox: cannot name the network namespace: %w (is /proc mounted?)", err)
	}
	if os.Geteuid() == 0 {
		err := enterNet(stageRoot, outside)
		if !errors.Is(err, unix.EPERM) { // EPERM: root of a container, perhaps; try as anybody would
			return explain(err)
		}
	}
	return enterUser(outside)
}

// enterNet moves this thread into a new network namespace and executes the
// program there, with the rest of its environment. Its other threads, all still outside, end with the execution.
func enterNet(stage, rest string) error {
	// Never unlocked: on failure the thread must not be used again.
	runtime.LockOSThread()
	if stage == stageNet {
		if err := dieWithParent(); err != nil {
			return err
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread() // nothing has changed
		return fmt.Errorf("unshare(CLONE_NEWNET): %w", err)
	}
	err := syscall.Exec(executable(), os.Args, environ(stage, rest))
	// This thread is in a namespace of its own now, and the main goroutine
	// with it. Nobody may mistake that for the caller's.
	fmt.Fprintf(os.Stderr, "sandbox: execute %s again: %v\n", executable(), err)
	os.Exit(1)
	return nil
}

// dieWithParent has this thread killed, and so its process, when the parent dies.
// The main thread has that from its start, so there is no moment without; this
// may be another thread.
func dieWithParent() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_PDEATHSIG): %w", err)
	}
	return nil
}

// enterUser starts the program in a new user namespace, waits for it, and ends
// as it did. It returns only when the program could not get inside.
func enterUser(outside string) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	defer read.Close()
	reason, err := unix.FcntlInt(write.Fd(), unix.F_DUPFD, 0) // which the execution leaves open
	write.Close()
	if err != nil {
		return fmt.Errorf("sandbox: duplicate a pipe: %w", err)
	}
	cmd := &exec.Cmd{
		Path:   executable(),
		Args:   os.Args,
		Env:    environ(stageUser, fmt.Sprint(outside, " ", reason)),
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
			Pdeathsig:   unix.SIGKILL,
		},
	}
	// Pdeathsig is about the thread that starts the process, not about ours.
	runtime.LockOSThread()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	err = cmd.Start()
	unix.Close(reason)
	if err != nil {
		signal.Stop(signals)
		runtime.UnlockOSThread()
		return explain(fmt.Errorf("clone(CLONE_NEWUSER): %w", err))
	}
	go func() {
		for s := range signals {
			if (s == unix.SIGINT || s == unix.SIGQUIT) && foreground() {
				continue
			}
			cmd.Process.Signal(s)
		}
	}()
	why, _ := io.ReadAll(read)
	cmd.Wait() // what it returns, ProcessState says
	if len(why) != 0 {
		signal.Stop(signals)
		close(signals)
		runtime.UnlockOSThread()
		return explain(errors.New(string(why)))
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		die(status.Signal())
	}
	os.Exit(status.ExitStatus())
	return nil
}

// arrive makes the innermost execution sure that it is inside, and turns lo on.
func arrive(outside string) error {
	if err := different(outside); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n", err)
		os.Exit(1) // going on would change the caller's network
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("sandbox: socket: %w", err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("sandbox: lo: %w", err)
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, lo); err != nil {
		return fmt.Errorf("sandbox: read the state of lo: %w", err)
	}
	if lo.Uint16()&unix.IFF_UP != 0 {
		fmt.Fprintln(os.Stderr, "sandbox: lo is up already, so this network namespace is not a new one")
		os.Exit(1)
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("sandbox: turn lo on: %w", err)
	}
	return os.Setenv(environment, stageInside+" "+outside)
}

// adopt makes a process sure that the one which started it is inside.
func adopt() error {
	stage, outside, _ := position()
	if stage != stageInside {
		return errors.New("sandbox: started by a process that is in none")
	}
	return different(outside)
}

// different returns an error when this is still the network namespace outside.
func different(outside string) error {
	now, err := currentNet()
	if err != nil {
		return fmt.Errorf("sandbox: cannot name the network namespace: %w", err)
	}
	if outside == "" || now == outside {
		return fmt.Errorf("sandbox: still in the caller's network namespace (%s, %s=%q)", now, environment, os.Getenv(environment))
	}
	return nil
}

func currentNet() (string, error) { return os.Readlink("/proc/thread-self/ns/net") }

// executable is the path of this program. The link in /proc works even when
// the file is gone, but would make "exe" the name of the process.
func executable() string {
	path, err := os.Executable()
	if err == nil {
		if _, err = os.Stat(path); err == nil {
			return path
		}
	}
	return "/proc/self/exe"
}

// environ is the environment for the next execution.
func environ(stage, rest string) []string {
	env := make([]string, 0, len(os.Environ())+1)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, environment+"=") {
			env = append(env, v)
		}
	}
	return append(env, environment+"="+stage+" "+rest)
}

// fail reports to the first execution, which goes on without a sandbox.
func fail(reason int, err error) {
	unix.Write(reason, []byte(err.Error()))
	os.Exit(1)
}
