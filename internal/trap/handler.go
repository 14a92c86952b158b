//go:build linux

package trap

import (
	"fmt"
	"os"
	"time"

	"ipq/ipqueue"
)

// A Handler is where a supervisor gets sockets for the program. Connect and Bind
// may be called from several goroutines, and the program waits for them. Bind is
// that of [ipqueue.Handler]. Close is called when the last descendant of the
// program is gone.
type Handler interface {
	Connect(ipqueue.Hello) (*os.File, error)
	Bind(inode, port uint32) (uint32, error)
	Close() error
}

// OpenOwn opens a queue handler for the program alone, on queue 0. Whoever could
// do that may use it: the program may have given up root by the time it sends
// its first message. When a queue fails while the program runs, report is told.
func OpenOwn(report func(message string)) (Handler, error) {
	h, err := ipqueue.Open(ipqueue.Config{Allow: func(ipqueue.Credentials) bool { return true }})
	if err != nil {
		return nil, err
	}
	go func() {
		if err := h.Wait(); err != nil {
			report(fmt.Sprintf("the queue handler has stopped, and no packets come any more: %v", err))
		}
	}()
	return own{h}, nil
}

type own struct{ *ipqueue.Handler }

// closeEvery is how often Close looks whether all sockets are closed.
const closeEvery = 2 * time.Millisecond

// Close serves the sockets that are still open: a program that has ended may
// have left verdicts in one, and a process that is no descendant may hold one.
func (o own) Close() error {
	for s := o.Status(); s.IPv4.Programs+s.IPv6.Programs > 0; s = o.Status() {
		time.Sleep(closeEvery)
	}
	return o.Handler.Close()
}

// OpenService uses the handler of the service whose socket is at path, which
// must answer now.
func OpenService(path string) (Handler, error) {
	if _, err := ipqueue.ReadStatus(path); err != nil {
		return nil, err
	}
	return service(path), nil
}

type service string

func (s service) Connect(h ipqueue.Hello) (*os.File, error) { return ipqueue.Dial(string(s), h) }
func (s service) Bind(inode, port uint32) (uint32, error) {
	return ipqueue.DialBind(string(s), inode, port)
}
func (s service) Close() error { return nil }
