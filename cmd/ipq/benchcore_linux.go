package main

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// usableCores are those that this thread may run on; none if the kernel numbers more of them than unix.CPUSet can hold.
func usableCores() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var cores []int
	for c := 0; len(cores) < set.Count(); c++ {
		if set.IsSet(c) {
			cores = append(cores, c)
		}
	}
	return cores
}

// keepToLastCore keeps a worker's only busy goroutine, which calls it, on the last core that it may use.
func keepToLastCore() error {
	runtime.LockOSThread() // for good: it ends with the process
	cores := usableCores()
	if len(cores) == 0 {
		return nil
	}
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, setOf(cores[len(cores)-1:])))
}

// keepTo keeps the threads that this process has, and those that they will start, on some of its cores. undo lets them
// run where they could before.
func keepTo(cores []int) (undo func() error, err error) {
	before := usableCores()
	undo = func() error { return keepThreads(before) }
	return undo, keepThreads(cores)
}

func keepThreads(cores []int) error {
	if len(cores) == 0 {
		return nil
	}
	set := setOf(cores)
	// A thread that is started meanwhile, by one that has not been reached yet, is reached the second time.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, set); err != nil && err != unix.ESRCH { // which has ended
				return os.NewSyscallError("sched_setaffinity", err)
			}
		}
	}
	return nil
}

func setOf(cores []int) *unix.CPUSet {
	set := new(unix.CPUSet)
	for _, c := range cores {
		set.Set(c)
	}
	return set
}
