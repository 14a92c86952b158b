package main

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawns runs functions on one thread that lives as long as the harness: Pdeathsig follows the thread that forked, and
// a child inherits its affinity.
var spawns = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

// startOn starts a command on the given cores, nil being all. It is killed when the harness dies, even while stopped.
func startOn(cmd *exec.Cmd, on []int) error {
	if on == nil {
		on = cores
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	spawns() <- func() {
		var set unix.CPUSet
		for _, c := range on {
			set.Set(c)
		}
		err := unix.SchedSetaffinity(0, &set)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}
	return <-started
}
