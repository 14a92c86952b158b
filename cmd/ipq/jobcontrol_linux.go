package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// jobControl is how a shell stops this process and has it go on.
type jobControl struct {
	stops     chan os.Signal // to be obeyed by stop
	continued chan os.Signal // SIGCONT; the process goes on anyway

	signals []os.Signal // by which a terminal stops a process, but for those that this one was started to ignore
}

// takeStops takes the signals by which a terminal stops a process. A process that must not be stopped ignores them.
func takeStops(may bool) *jobControl {
	j := &jobControl{stops: make(chan os.Signal, 1), continued: make(chan os.Signal, 1)}
	already := ignored()
	j.signals = slices.DeleteFunc([]os.Signal{unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU}, func(s os.Signal) bool {
		return already>>(s.(unix.Signal)-1)&1 != 0
	})
	if may {
		j.take()
	} else {
		j.each(func(s os.Signal) { signal.Ignore(s) })
	}
	signal.Notify(j.continued, unix.SIGCONT)
	return j
}

// each calls fn for each signal: the functions of os/signal take an empty list for all there are.
func (j *jobControl) each(fn func(os.Signal)) {
	for _, s := range j.signals {
		fn(s)
	}
}

func (j *jobControl) take() { j.each(func(s os.Signal) { signal.Notify(j.stops, s) }) }

// stale reports whether a signal is from before the process was stopped and went on: the terminal does not stop a process
// in the foreground for reading or writing. A thread may have been about to handle it when the other threads stopped.
func (j *jobControl) stale(s os.Signal) bool {
	if s == unix.SIGTSTP {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false // without a terminal somebody has sent it
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// stop stops the process as the signal would have if it were not taken, and returns when the process goes on: at once in
// a group of processes that no shell looks after, which the kernel does not stop.
func (j *jobControl) stop(s os.Signal) {
	signal.Stop(j.stops)
	for len(j.stops) > 0 { // the same wish: a terminal sends SIGTTOU for each write
		<-j.stops
	}
	if len(j.continued) == 0 { // else it is to go on already
		signal.Stop(j.continued) // what ends this stop is not to prevent the next one
		j.raise(s.(unix.Signal))
		signal.Notify(j.continued, unix.SIGCONT)
	}
	j.take()
}

// raise sends the signal, with what it does by default, and returns when the process goes on. Another thread that writes
// to the terminal may get SIGTTOU first. So the signal waits, blocked, before it can stop anything: the SIGCONT that ends the
// other stop takes it away, and the process does not stop twice.
func (j *jobControl) raise(s unix.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var block, before unix.Sigset_t
	block.Val[0] = 1 << (s - 1)
	unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before)
	unix.Tgkill(unix.Getpid(), unix.Gettid(), s)
	own := make([]sigaction, 0, len(j.signals))
	j.each(func(s os.Signal) { own = append(own, setAction(s, sigaction{})) })
	unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) // here it stops
	for i, s := range j.signals {
		setAction(s, own[i])
	}
}

// leave lets the signals do what they do.
func (j *jobControl) leave() {
	j.each(func(s os.Signal) { setAction(s, sigaction{}) })
	signal.Stop(j.continued)
}

// ignored is the set of the signals that this process ignores, with bit 0 for signal 1. What signal.Ignored says of a
// signal that stops processes is not what the process was started with.
func ignored() (set uint64) {
	status, _ := os.ReadFile("/proc/self/status") // without it, none is known
	_, after, _ := strings.Cut(string(status), "\nSigIgn:")
	fmt.Sscanf(after, "%x", &set)
	return set
}

// sigaction is the kernel's structure, which is not looked into: zero is SIG_DFL everywhere.
type sigaction [8]uintptr

// setAction sets what a signal does, and returns what it did. After signal.Reset the runtime's handler would stay, and a
// signal that stops processes would do nothing.
func setAction(s os.Signal, to sigaction) (old sigaction) {
	const size = 8 // of the kernel's sigset_t
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s.(unix.Signal)), uintptr(unsafe.Pointer(&to)), uintptr(unsafe.Pointer(&old)), size, 0, 0)
	return old
}
