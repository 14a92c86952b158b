package ipqtest_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ipq"
)

// twice is two files of one socket.
func twice(t *testing.T, f *os.File) [2]*os.File {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd, dupErr := -1, error(nil)
	if err := raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) }); err != nil || dupErr != nil {
		t.Fatal(err, dupErr)
	}
	return [2]*os.File{f, os.NewFile(uintptr(fd), "again")}
}

// A socket outlives the queue that adopted it: what its owner has not received, the next one gets; what he has and did not
// answer, Config.Default answers.
func TestInherited(t *testing.T) {
	for _, drained := range []bool{false, true} {
		everywhere(t, func(t *testing.T, w world) {
			w.open(t, ipq.Config{}).Close() // for its rule
			files := twice(t, w.socket(t))
			open := func(f *os.File) *ipq.Queue {
				q, err := ipq.Open(ipq.Config{Queue: queueNumber, File: f, OnVerdictError: func(id ipq.ID, err error) {
					t.Errorf("packet %v: %v", id, err)
				}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { q.Close() })
				if real, ok := w.(*realWorld); ok {
					real.queue = q
				}
				return q
			}
			first := open(files[0])
			ids := hold(t, first)
			taken := []parcel{w.send(t, "taken", 0), w.send(t, "taken, too", 0)}
			for range taken {
				soon(t, ids, "the handler")
			}
			if err := first.Close(); err != nil {
				t.Error(err)
			}
			if drained {
				if err := open(files[1]).Drain(t.Context()); err != nil {
					t.Error(err)
				}
				for _, p := range taken {
					w.dropped(t, p)
				}
				return
			}
			left := w.send(t, "left", 0)
			second := open(files[1])
			serve(t, second, func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
			w.delivered(t, left, left.data, 0)
			for _, p := range taken {
				w.dropped(t, p)
			}
			if s := second.Stats(); s.Received != 1 || s.Gone != 0 {
				t.Errorf("stats %+v, want the one packet that was left", s)
			}
		})
	}
}
