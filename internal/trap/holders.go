//go:build linux

package trap

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A holder is a process that has an injected socket open.
type holder struct {
	pid   int
	name  string
	pidfd int
}

// holders returns the processes that have one of the sockets open, whose owners are
// given, and have more seccomp filters than outside, which are those that the
// listener's filter is among: not a process from elsewhere that was given a socket.
// That may have filters of its own. So whoever opened a socket, and may end it at
// any time, has no other process ended than kill(2) would end for them. The caller
// closes the holders.
func holders(sockets map[inode]uint32, outside int) []holder {
	directories, _ := filepath.Glob("/proc/[0-9]*")
	var found []holder
	for _, dir := range directories {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		pidfd, err := unix.PidfdOpen(pid, 0) // first, so that what is read is about this process or about nothing
		if err != nil {
			continue
		}
		id, err := thread(pid).identity()
		if err != nil || id.filters <= outside || !holds(pid, id, sockets) || unix.PidfdSendSignal(pidfd, 0, nil, 0) != nil {
			unix.Close(pidfd)
			continue
		}
		name, _ := os.ReadFile(thread(pid).path("comm"))
		found = append(found, holder{pid, strings.TrimSpace(string(name)), pidfd})
	}
	return found
}

// holds looks into every thread of a process: each may have descriptors of its
// own, and those of one that has ended cannot be seen.
func holds(pid int, id identity, sockets map[inode]uint32) bool {
	threads, _ := filepath.Glob(thread(pid).path("task/[0-9]*"))
	for _, dir := range threads {
		d, err := os.Open(dir + "/fd")
		if err != nil {
			continue
		}
		names, _ := d.Readdirnames(-1)
		d.Close()
		for _, name := range names {
			link, err := os.Readlink(dir + "/fd/" + name)
			if err != nil {
				continue
			}
			i, ok := parseSocketLink(link)
			if owner, held := sockets[i]; ok && held && id.maySignal(owner) {
				return true
			}
		}
	}
	return false
}

// terminateTime is how long a process may take to end after SIGTERM: it may have
// firewall rules to remove.
const terminateTime = 5 * time.Second

// terminate ends the processes that hold sockets which will never be served
// again: many would read the end of file for ever. still returns which of the
// sockets are open now; a process that has closed its own is left alone.
func terminate(why string, still func() map[inode]uint32, outside int, report func(message string)) {
	found := holders(still(), outside)
	if len(found) == 0 {
		return
	}
	names := make([]string, len(found))
	for i, h := range found {
		names[i] = fmt.Sprintf("%q (process %d)", h.name, h.pid)
	}
	report(fmt.Sprintf("%s, so no packets come any more: terminating %s", why, strings.Join(names, ", ")))
	signalAll(found, unix.SIGTERM)
	await(found, terminateTime)
	found = holders(still(), outside)
	signalAll(found, unix.SIGKILL)
	await(found, 0)
}

func signalAll(to []holder, s unix.Signal) {
	for _, h := range to {
		unix.PidfdSendSignal(h.pidfd, s, nil, 0) // fails when it has ended, or has another user
	}
}

// await waits until all have ended, but no longer than the time given, and closes
// them.
func await(all []holder, atMost time.Duration) {
	deadline := time.Now().Add(atMost)
	for _, h := range all {
		fds := []unix.PollFd{{Fd: int32(h.pidfd), Events: unix.POLLIN}}
		for {
			left := max(time.Until(deadline), 0)
			if _, err := unix.Poll(fds, int(left/time.Millisecond)); err != unix.EINTR {
				break
			}
		}
		unix.Close(h.pidfd)
	}
}
