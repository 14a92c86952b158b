//go:build linux

package trap

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// An outcome is what a caught call comes to. Every path has one, as a call that
// is not answered waits for ever.
type outcome struct {
	native bool // the kernel runs the call as if it had not been caught
	ended  bool // the call has been answered, with a descriptor
	errno  unix.Errno

	lack error // what the supervisor had too little of, when that is why it fails
}

var native = outcome{native: true}

func failed(errno unix.Errno) outcome { return outcome{errno: errno} }

// scarce returns the errno for a call that the supervisor has no descriptors or
// no memory left to answer, and 0 for other errors. It is never EMFILE, which
// would mean the program's own limit.
func scarce(err error) unix.Errno {
	for _, errno := range []unix.Errno{unix.ENOMEM, unix.ENOBUFS, unix.ENFILE} {
		if errors.Is(err, errno) {
			return errno
		}
	}
	if errors.Is(err, unix.EMFILE) {
		return unix.ENFILE
	}
	return 0
}

// lacking is the outcome of a call for which the supervisor, or the queue handler, has
// no descriptors or no memory left.
func lacking(err error) outcome { return outcome{errno: scarce(err), lack: err} }

// scarceTime is how long a call waits at least for what others give back: other calls,
// and the queue handler, which learns a little later that the program has closed a socket.
const scarceTime = time.Second

// reserve is how many descriptors the supervisor keeps for calls about sockets
// that there are. A call takes three at most.
const reserve = 64

// maxFD returns the first number of a descriptor that is in the reserve.
func maxFD() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	n := int(min(limit.Cur, 1<<30))
	return n - min(reserve, n/4), nil
}
