//go:build linux

package nlsock

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An Alarm is a timer that can be put off for as long as one likes without waking anybody. One of the runtime's timers
// wakes a thread at the time that it was first set for, only to find it put off: a thousand times a second that costs a
// saturated reader many of its packets, because the scheduler makes room for the woken thread.
type Alarm struct {
	f     *os.File
	rc    syscall.RawConn
	after atomic.Int64     // nanoseconds, for set
	set   func(fd uintptr) // made once, so that Set allocates nothing
	times [8]byte          // how often it has gone off, for Wait, which allocates nothing either
}

// NewAlarm makes an alarm that is not set.
func NewAlarm() (*Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	a := &Alarm{f: os.NewFile(uintptr(fd), "timer")}
	if a.rc, err = a.f.SyscallConn(); err != nil {
		a.f.Close()
		return nil, err
	}
	a.set = func(fd uintptr) {
		at := unix.ItimerSpec{Value: unix.NsecToTimespec(a.after.Load())}
		unix.TimerfdSettime(int(fd), 0, &at, nil) // cannot fail
	}
	return a, nil
}

// Set makes the alarm go off once, in d from now, which must be more than 0, whatever it was set for before. Any
// goroutine may call it; of two that do at the same time, both get what one of them wanted.
func (a *Alarm) Set(d time.Duration) {
	a.after.Store(int64(d))
	a.rc.Control(a.set) // fails only when closed
}

// Wait returns when the alarm has gone off, and an error when it is closed. One goroutine at a time may call it.
func (a *Alarm) Wait() error {
	_, err := a.f.Read(a.times[:])
	return err
}

// Close ends Wait.
func (a *Alarm) Close() error { return a.f.Close() }
