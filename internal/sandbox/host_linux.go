package sandbox

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is a network namespace with addresses of its own: one end of a link, or
// the sandbox itself, which is the router between them. Its methods may be
// called from any goroutine.
type Host struct {
	Name string     // "router", "host 0", "host 1"
	IPv4 netip.Addr // the host's address; the router's on its link to host 0
	IPv6 netip.Addr // the same; not valid where the kernel has no IPv6
	Link string     // the router's link to it: "ipq0", "ipq1"; empty for the router

	ns       *os.File // nil for the router: any thread is in its namespace
	services *services
}

// newNamespace makes a network namespace with no process in it, held by a file.
func newNamespace() (*os.File, error) {
	var ns *os.File
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		var err error
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}

// onThread calls f on a thread of its own, which ends with f, so that f may
// move it into another namespace.
func onThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and /proc/self is about it. While it
			// waits here, the next goroutine gets another.
			err := onThread(f)
			runtime.UnlockOSThread()
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// Do calls f on a thread that is in the host's namespace, and returns what f
// returns. Sockets that f opens stay in that namespace and may be used from
// anywhere afterwards; goroutines that f starts are in the sandbox instead.
// Dialling an address is fine, dialling a name is not: it starts goroutines.
func (h *Host) Do(f func() error) error {
	if h.ns == nil {
		return f()
	}
	return onThread(func() error {
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("sandbox: enter %s: %w", h.Name, os.NewSyscallError("setns", err))
		}
		return f()
	})
}

// Start starts a command in the host's namespace. The thread that starts it
// ends at once, so Pdeathsig would kill it.
func (h *Host) Start(cmd *exec.Cmd) error { return h.Do(cmd.Start) }

// Run starts a command in the host's namespace and waits for it.
func (h *Host) Run(cmd *exec.Cmd) error { return h.Do(cmd.Run) }

// Sysctl sets a kernel parameter of the host, named like
// "net.ipv4.conf.eth0.forwarding".
func (h *Host) Sysctl(name, value string) error {
	file := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	return h.Do(func() error {
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			return fmt.Errorf("sandbox: set %s of %s to %s: %w", name, h.Name, value, err)
		}
		return nil
	})
}
