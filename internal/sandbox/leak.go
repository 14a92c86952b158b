package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// leakPatience bounds the wait for goroutines and descriptors that are on their
// way out when the last test returns.
const leakPatience = 5 * time.Second

// state is what the process held at one moment.
type state struct {
	goroutines  map[string]string // "goroutine 7" -> its stack
	descriptors map[string]string // number -> what it is open on
}

func snapshot() state {
	// Both make the runtime's own poller, if there is none: it stays for good.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	return state{goroutines(), descriptors()}
}

// leaks describes what exists now and did not then; empty when nothing does.
func (before state) leaks() string {
	for deadline := time.Now().Add(leakPatience); ; {
		var b strings.Builder
		now := state{goroutines(), descriptors()}
		for id, stack := range now.goroutines {
			if _, ok := before.goroutines[id]; !ok {
				fmt.Fprintf(&b, "%s\n\n", stack)
			}
		}
		for fd, target := range now.descriptors {
			if before.descriptors[fd] != target {
				fmt.Fprintf(&b, "descriptor %s is open on %s\n", fd, target)
			}
		}
		if b.Len() == 0 || time.Now().After(deadline) {
			return b.String()
		}
		time.Sleep(time.Millisecond)
	}
}

// goroutines returns the stacks of those that a test can have started.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	m := make(map[string]string)
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		id, _, ok := strings.Cut(stack, " [")
		// The first call of signal.Notify starts one that never ends.
		if !ok || strings.Contains(stack, "os/signal.loop") || strings.Contains(stack, "os/signal.signal_recv") {
			continue
		}
		m[id] = stack
	}
	return m
}

// descriptors returns the open files of the process; none where there is no
// /proc.
func descriptors() map[string]string {
	m := make(map[string]string)
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return m
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	self := fmt.Sprint(dir.Fd())
	for _, n := range names {
		if n == self {
			continue
		}
		if target, err := os.Readlink("/proc/self/fd/" + n); err == nil {
			m[n] = target
		}
	}
	return m
}
