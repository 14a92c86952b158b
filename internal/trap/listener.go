//go:build linux

package trap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A notification is struct seccomp_notif: a thread waits in a system call.
type notification struct {
	id    uint64
	tid   uint32 // in the pid namespace of the listener; 0 when it is not visible there
	flags uint32
	nr    uint32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// A response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	errno int32 // negative
	flags uint32
}

// An injection is struct seccomp_notif_addfd.
type injection struct {
	id         uint64
	flags      uint32
	fd         uint32
	newfd      uint32
	newfdFlags uint32
}

// errNested says that a filter with a listener is there already: the kernel
// allows one in a chain of filters.
var errNested = errors.New("this process is already supervised through seccomp, by another ipq run or by a container runtime, and the kernel allows one supervisor only")

// install puts the filter on the calling thread, which must be locked, and on
// all that it will start or execute. It sets no_new_privs, without which the
// kernel lets only the privileged do this.
func install() (*os.File, error) {
	program, err := filter(abis)
	if err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("prctl(PR_SET_NO_NEW_PRIVS): %w", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// SPEC_ALLOW: without it kernels before 5.16 make the program slower.
	// WAIT_KILLABLE_RECV: with it a signal handler does not make a caught call
	// start again. Requires at least Linux 5.19.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	fd, errno := seccomp(flags|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &fprog)
	if errno == unix.EINVAL {
		fd, errno = seccomp(flags, &fprog)
	}
	switch errno {
	case 0:
		return os.NewFile(fd, "seccomp listener"), nil
	case unix.EBUSY:
		return nil, errNested
	case unix.ENOSYS, unix.EINVAL:
		return nil, fmt.Errorf("seccomp: %w: this kernel cannot notify a supervisor; it must be Linux 5.14 or later, built with CONFIG_SECCOMP_FILTER", errno)
	}
	return nil, fmt.Errorf("seccomp: %w", errno)
}

func seccomp(flags uintptr, fprog *unix.SockFprog) (uintptr, unix.Errno) {
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(fprog)))
	return fd, errno
}

// A listener is the supervisor's end of the filter. Its methods may be called
// from several goroutines.
type listener struct{ fd int }

func (l listener) ioctl(request uintptr, arg unsafe.Pointer) unix.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l.fd), request, uintptr(arg))
		if errno != unix.EINTR {
			return errno
		}
	}
}

// probe returns an error when the kernel is too old to inject a descriptor and
// end the call in one step.
func (l listener) probe() error {
	errno := l.inject(0, l.fd, true)
	if errno == unix.ENOENT { // there is no call 0
		return nil
	}
	return fmt.Errorf("seccomp: cannot answer with a descriptor: %w: Linux 5.14 or later is needed", errno)
}

// wakeTogether asks the kernel to wake the other side on the same CPU, as both
// only ever wait for each other. Older kernels refuse and are merely slower.
// Requires at least Linux 6.6.
func (l listener) wakeTogether() {
	unix.Syscall(unix.SYS_IOCTL, uintptr(l.fd), unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
}

// wait blocks until a call waits (true), or no thread with the filter is left.
func (l listener) wait() (bool, error) {
	fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil {
			if err == unix.EINTR {
				continue
			}
			return false, err
		}
		switch {
		case fds[0].Revents&unix.POLLIN != 0:
			return true, nil
		case fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0:
			return false, nil
		}
	}
}

// receive takes the next call. ENOENT: its thread is gone meanwhile.
func (l listener) receive(n *notification) unix.Errno {
	*n = notification{} // the kernel insists
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(n))
}

// waiting tells whether the thread that made the call still waits in it. Then
// its id was not used again since.
func (l listener) waiting(id uint64) bool {
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id)) == 0
}

// resume lets the call run as if it had not been caught. This and the other
// answers fail only when the thread is gone, which needs no answer.
func (l listener) resume(id uint64) {
	l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&response{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}))
}

// answer ends the call with an errno, or 0.
func (l listener) answer(id uint64, errno unix.Errno) {
	l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&response{id: id, errno: -int32(errno)}))
}

// inject gives the thread a duplicate of fd and ends the call with its number.
// The kernel chooses that, within the thread's own limit of open files.
//
// When a signal interrupts the request, the kernel takes the descriptor back and
// ends the call all the same, with 0: the program would go on with its standard
// input for a socket. The Go runtime sends signals to its threads at any time, so
// none may reach this one meanwhile.
func (l listener) inject(id uint64, fd int, closeOnExec bool) unix.Errno {
	i := injection{id: id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, fd: uint32(fd)}
	if closeOnExec {
		i.newfdFlags = unix.O_CLOEXEC
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, before unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &before); err != nil {
		return err.(unix.Errno)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&i))
}
