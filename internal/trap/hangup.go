//go:build linux

package trap

import (
	"fmt"
	"time"
)

// reconnectTime is how long a program may keep a socket whose other end was
// closed. One with our libipq connects again meanwhile, and one that closes its
// socket takes its time to get there.
const reconnectTime = 2 * time.Second

// watchSockets terminates the programs whose sockets end although the program did
// not close them: the service was stopped, or a queue has failed.
func (s *supervisor) watchSockets() {
	for {
		ended := make(map[int32]bool)
		keys, err := s.sockets.epoll.hungUp()
		if err != nil {
			s.report(fmt.Sprintf("cannot watch the program's sockets any more: %v", err))
			return
		}
		for _, k := range keys {
			ended[k] = true
		}
		time.Sleep(reconnectTime)
		terminate("the queue handler, or the service (ipq emulate), was stopped",
			func() map[inode]uint32 { return s.sockets.still(ended) }, s.outside, s.report)
	}
}
