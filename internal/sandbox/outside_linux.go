package sandbox

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the process does that waits outside, to be no more in the way than it
// must be.

// foreground tells whether a key pressed on our terminal sends its signal to this
// process, and so to the one inside, which is in the same group. Go does not say
// where a signal came from: one that another process sends to this one alone is
// taken for a key meanwhile.
func foreground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// die ends this process by a signal, so that whoever waits for it sees what
// became of the one inside. Where that cannot be, the status is a shell's.
func die(s syscall.Signal) {
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // the core is the other's
	// Go's runtime has handlers for most signals, and no way back to the default.
	var action [8]uint64 // struct sigaction with SIG_DFL and no flags, on every architecture
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	runtime.LockOSThread()
	unix.Tgkill(os.Getpid(), unix.Gettid(), s)
	os.Exit(128 + int(s))
}
