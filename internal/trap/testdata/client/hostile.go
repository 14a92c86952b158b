//go:build linux

package main

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// hostile starts processes that hammer, and kills each after a moment: in a call
// that the supervisor has at hand, as often as not. Then it hammers itself.
func hostile([]string) {
	for i := range 30 {
		cmd := exec.Command("/proc/self/exe", "hammer", "60000")
		if err := cmd.Start(); err != nil {
			say("start:", err)
			return
		}
		time.Sleep(time.Duration(i) * time.Millisecond) // how far it got does not matter
		cmd.Process.Kill()
		cmd.Wait()
	}
	hammer([]string{"300"})
	say("hammered")
	next()
	basic([]string{"3"})
}

// hammer makes caught calls from several threads, for args[0] milliseconds, while
// what they point to, and what their descriptors are, changes under them.
func hammer(args []string) {
	page := mapping(syscall.PROT_READ | syscall.PROT_WRITE)
	at := unsafe.Pointer(&page[0])
	end := time.Now().Add(time.Duration(number(args[0])) * time.Millisecond)
	var threads sync.WaitGroup
	start := func(f func()) {
		threads.Go(func() {
			runtime.LockOSThread()
			for time.Now().Before(end) {
				f()
			}
		})
	}
	const shared = 50 // a descriptor
	for range 4 {
		start(func() {
			fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, 3)
			if err == nil {
				syscall.Dup2(fd, shared)
				syscall.Close(fd)
			}
		})
		start(func() { bindRaw(shared, at, 12) })
		start(func() { getsockname(shared, at, unsafe.Add(at, 64)) })
	}
	start(func() { syscall.Dup2(0, shared) })
	start(func() { syscall.Close(shared) })
	start(func() {
		for _, protection := range []uintptr{syscall.PROT_NONE, syscall.PROT_READ, syscall.PROT_READ | syscall.PROT_WRITE} {
			syscall.Syscall(syscall.SYS_MPROTECT, uintptr(at), uintptr(len(page)), protection)
		}
	})
	start(func() { // the kernel writes there, so that a page without access is no fault of ours
		random, err := os.Open("/dev/urandom")
		if err == nil {
			syscall.Syscall(syscall.SYS_READ, random.Fd(), uintptr(at), 80)
			random.Close()
		}
	})
	threads.Wait()
	syscall.Close(shared)
}

// churn opens, binds and closes args[0] sockets, one after the other.
func churn(args []string) {
	for range number(args[0]) {
		fd := netlink(3)
		if err := bind(fd, 5); err != nil {
			say("bind of descriptor", fd, name(err))
			return
		}
		syscall.Close(fd)
	}
	say("done")
}
