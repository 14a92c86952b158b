package privilege

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// executedAgain holds the process id, which an execution does not change, for the next execution to know itself by.
const executedAgain = "IPQ_RESTRICTED"

// Keep leaves the process no capability but those in keep, of which it may have none. When it has others it sets
// no_new_privs, gives them up for good, and executes the program again with the same arguments: what was done before is
// done twice, so call it early, with nothing open. In the new execution, and where there is nothing to give up, it
// returns nil.
//
// A signal that ctx ends for, and that arrives before the execution, has Keep return ctx's error.
//
// Requires at least Linux 4.3.
func Keep(ctx context.Context, keep Capabilities) error {
	again := os.Getenv(executedAgain) == strconv.Itoa(os.Getpid())
	os.Unsetenv(executedAgain)
	has, err := held()
	switch {
	case err != nil:
		return fmt.Errorf("privilege: %w", err)
	case has&^keep == 0:
		return nil
	case again:
		return fmt.Errorf("privilege: %v are there again after they were given up", has&^keep)
	}
	// A caught signal would be lost with this execution. From here on it is not caught and ends the process, which has
	// done nothing yet; of those before, ctx knows.
	signal.Reset()
	runtime.LockOSThread() // never unlocked: the thread must not be used again
	if err := limit(has & keep); err != nil {
		return fmt.Errorf("privilege: give up %v: %w", has&^keep, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	env := append(os.Environ(), executedAgain+"="+strconv.Itoa(os.Getpid()))
	// The link works when the file has been replaced, but would make "exe" the name of the process.
	path, _ := os.Executable() // unknown, it fails below
	for _, path := range []string{path, "/proc/self/exe"} {
		err = syscall.Exec(path, os.Args, env)
	}
	return fmt.Errorf("privilege: execute %s again: %w (is /proc mounted?)", os.Args[0], err)
}

// Join makes the process a member of a group, and of no other but its own: only then may it give files to the group when
// CAP_CHOWN is gone. Without CAP_SETGID nothing changes, and it must be a member already.
func Join(gid int) { _ = syscall.Setgroups([]int{gid}) }

// held returns what the calling thread has, or would give to what it executes.
func held() (Capabilities, error) {
	_, data, err := get()
	if err != nil {
		return 0, err
	}
	join := func(low, high uint32) Capabilities { return Capabilities(high)<<32 | Capabilities(low) }
	return join(data[0].Permitted, data[1].Permitted) | join(data[0].Inheritable, data[1].Inheritable), nil
}

func get() (h unix.CapUserHeader, data [2]unix.CapUserData, err error) {
	h.Version = unix.LINUX_CAPABILITY_VERSION_3
	return h, data, os.NewSyscallError("capget", unix.Capget(&h, &data[0]))
}

// limit leaves the calling thread, and what it executes, a set of capabilities, which is a part of what it has.
//
// With no_new_privs an execution gives no capability that the thread did not have, whatever the bounding set, the user id
// and the file would give. The bounding set is for what could be executed without it, and stays where CAP_SETPCAP is
// missing.
func limit(keep Capabilities) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_NO_NEW_PRIVS)", err)
	}
	for c := range 64 {
		if keep>>c&1 != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			break // EINVAL: the kernel knows no more; EPERM: see above
		}
	}
	err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	if err != nil {
		return os.NewSyscallError("prctl(PR_CAP_AMBIENT)", err)
	}
	h, data, err := get()
	if err != nil {
		return err
	}
	for i, word := range []uint32{uint32(keep), uint32(keep >> 32)} {
		data[i].Permitted &= word
		data[i].Effective = data[i].Permitted
		data[i].Inheritable = data[i].Permitted
	}
	if err := unix.Capset(&h, &data[0]); err != nil {
		return os.NewSyscallError("capset", err)
	}
	// Root has them after the execution anyway, and so has a program whose file gives them. For all others:
	for c := range 64 {
		if keep>>c&1 == 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0)
		if err != nil && !errors.Is(err, unix.EPERM) { // EPERM: inheritable only, or SECBIT_NO_CAP_AMBIENT_RAISE
			return os.NewSyscallError("prctl(PR_CAP_AMBIENT)", err)
		}
	}
	return nil
}
