//go:build linux

package trap

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ipq/internal/privilege"
)

// The watcher is a process that the supervisor starts. When the supervisor is
// killed or crashes, the sockets of the program end, and the calls that are
// caught fail: the watcher says so and terminates those that have such a socket.
// It needs the right to look into them and to signal them, no other.

// environWatcher makes a process the watcher. Its value is the process id of the
// supervisor, and how many seccomp filters processes outside have.
const environWatcher = "IPQ_RUN_WATCHER"

// Descriptors of the watcher.
const (
	watcherPipe  = 3 // from the supervisor: a byte before it ends as it should
	watcherEpoll = 4 // the supervisor's epollSet
	watcherFirst = 5 // a pidfd of the first process of the program
)

// A watcher is the supervisor's side of it.
type watcher struct{ pipe *os.File }

// startWatcher starts the watcher. first is a pidfd of the first process of the
// program.
func startWatcher(sockets *sockets, first, outside int) (*watcher, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	defer read.Close()
	var inherited []*os.File
	for _, fd := range []int{sockets.epoll.fd, first} {
		copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			write.Close()
			return nil, fmt.Errorf("duplicate a descriptor: %w", err)
		}
		f := os.NewFile(uintptr(copied), "")
		defer f.Close()
		inherited = append(inherited, f)
	}
	cmd := exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       os.Args,
		Env:        append(os.Environ(), fmt.Sprintf("%s=%d %d", environWatcher, os.Getpid(), outside)),
		Dir:        "/",
		Stderr:     os.Stderr,
		ExtraFiles: slices.Concat([]*os.File{read}, inherited),
	}
	if err := cmd.Start(); err != nil {
		write.Close()
		return nil, fmt.Errorf("start the watcher: %w", err)
	}
	go cmd.Wait() // it ends before the supervisor only when it is killed
	return &watcher{write}, nil
}

// dismiss lets the watcher end: nothing is left to watch.
func (w *watcher) dismiss() {
	w.pipe.Write([]byte{0}) // EPIPE: it was killed
	w.pipe.Close()
}

// watch is all that the watcher does.
func watch(report func(message string)) error {
	ignoreSignals("ipq run watcher")
	var supervisor, outside int
	if _, err := fmt.Sscan(os.Getenv(environWatcher), &supervisor, &outside); err != nil {
		return fmt.Errorf("trap: %s: %w", environWatcher, err)
	}
	epoll, err := openEpollSet(watcherEpoll)
	if err != nil {
		return fmt.Errorf("trap: %w", err)
	}
	defer epoll.Close()
	if err := leaveStandardError(watcherFirst); err != nil {
		return fmt.Errorf("trap: %w", err)
	}
	_ = privilege.Seal(0) // where this fails, it has failed for the supervisor, too, which reports it
	if n, _ := os.NewFile(watcherPipe, "supervisor").Read(make([]byte, 1)); n != 0 {
		return nil // dismissed
	}
	terminate(fmt.Sprintf("the supervisor (process %d) was killed or has failed", supervisor),
		func() map[inode]uint32 { return openSockets(epoll) }, outside, report)
	return nil
}

// openSockets returns the sockets of a set that are open, with their owners.
func openSockets(epoll *epollSet) map[inode]uint32 {
	registered, _ := epoll.registered()
	open := make(map[inode]uint32)
	for _, r := range registered {
		open[r.inode] = r.owner
	}
	return open
}

// withoutWatcher is an environment in which nobody is the watcher.
func withoutWatcher(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool { return strings.HasPrefix(v, environWatcher+"=") })
}
