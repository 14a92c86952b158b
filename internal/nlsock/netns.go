//go:build linux

package nlsock

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// InNetns runs fn in the network namespace that path names (a file such as /run/netns/x or /proc/PID/ns/net), on a
// thread of its own that ends with it, so that no other goroutine ever runs there. Requires CAP_SYS_ADMIN in the user
// namespace that owns the network namespace, and in the caller's own.
func InNetns(path string, fn func() error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer f.Close()
	return onThread(func() error {
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", path, os.NewSyscallError("setns", err))
		}
		return fn()
	})
}

// onThread runs fn on a thread that ends with it.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		if unix.Gettid() != unix.Getpid() {
			done <- fn()
			return
		}
		// The main thread never ends, and is what /proc/self shows. It waits here while the next goroutine gets another.
		err := onThread(fn)
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}
