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

// OwnNetns is the network namespace of the calling thread, for CheckNetns; nil where /proc does not show it.
func OwnNetns() os.FileInfo {
	own, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return nil
	}
	return own
}

// CheckNetns returns an error when path does not name the namespace was: ErrNetnsReplaced when it names another one, and
// os.ErrNotExist when it names none. It is nil where there is nothing to compare: path is empty, or was is nil.
func CheckNetns(path string, was os.FileInfo) error {
	if path == "" || was == nil {
		return nil
	}
	now, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	if os.SameFile(now, was) {
		return nil
	}
	// "ip netns add" makes an empty file first, and mounts the namespace over it.
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil || fs.Type != unix.NSFS_MAGIC {
		return fmt.Errorf("%w: %s is no network namespace", os.ErrNotExist, path)
	}
	return fmt.Errorf("%w: %s", ErrNetnsReplaced, path)
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
