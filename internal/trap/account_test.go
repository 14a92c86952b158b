//go:build linux

package trap_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/rules"
)

// TestRefusals: errors are for the port that a socket has, as from netlink.
func TestRefusals(t *testing.T) {
	sandbox.RequireQueue(t)
	each(t, func(t *testing.T, client string, bits int) {
		s := startWith(t, []string{environHandler + "=" + handlerReal}, client, "refused").supervised()
		want := `refused 77 getsockname 77
refused 78 getsockname 78
refused pid getsockname pid
refused -4097 getsockname -4097
refused -4098 getsockname -4098
bind after a message: errno 22
`
		if got := s.output(); got != want {
			t.Errorf("output\n%swant\n%s", got, want)
		}
		s.wait()
		s.gone()
	})
}

// TestLimit: a queue handler has so many sockets, and one more is refused.
func TestLimit(t *testing.T) {
	sandbox.RequireQueue(t)
	cmd := exec.Command("sh", "-c", `ulimit -n 4096; exec "$@"`, "sh", executable(t), client(t, runtime.GOARCH), "few", "count")
	cmd.Env = []string{environHandler + "=" + handlerReal}
	s := startCommand(t, cmd).supervised()
	if got, want := s.output(), "socket: errno 23\nsockets: 1024\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
	s.wait()
	s.gone()
	if got := s.stderr.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "at most 1,024") {
		t.Errorf("standard error %q, want one line about the limit", got)
	}
}

// losses are where a datagram that was sent to lo through a program can end.
type losses struct {
	queue    int // the kernel's queue was full, or its socket
	handler  int // the program's queue was full, or its socket
	loopback int // lo had no room
	receiver int // the receiver's buffer was full
}

func (l losses) sum() int { return l.queue + l.handler + l.loopback + l.receiver }

// TestEveryDatagram sends more than the receiver's buffer, or the program's queue,
// holds while nobody reads, and accounts for every datagram: it arrives or is
// counted as lost where it was.
func TestEveryDatagram(t *testing.T) {
	sandbox.RequireQueue(t)
	const sent = 2000
	for _, tt := range []struct {
		name    string
		stopped bool // the program is; otherwise the receiver does not read
	}{{"receiver", false}, {"program", true}} {
		t.Run(tt.name, func(t *testing.T) {
			to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer to.Close()
			port := to.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			table, err := rules.Install(rules.Plan{Chains: []rules.Chain{{
				Hook:  rules.Output,
				Match: []rules.Match{{Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(port)}}},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			defer table.Close()
			before := loopbackDrops(t)

			s := startWith(t, []string{environHandler + "=" + handlerReal}, client(t, runtime.GOARCH), "accept").supervised()
			s.read("message of type 2 error 0\n")
			if tt.stopped {
				s.cmd.Process.Signal(unix.SIGSTOP)
			}
			for range sent / 100 { // more that wait would fill the sender's buffer, and it would wait as well
				from, err := net.Dial("udp4", to.LocalAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer from.Close()
				for range 100 {
					if _, err := from.Write([]byte("datagram")); err != nil {
						t.Fatal(err)
					}
				}
			}
			if tt.stopped {
				queued(t, 1024) // the others are dropped
				s.cmd.Process.Signal(unix.SIGCONT)
			}
			queue := queued(t, 0)
			lost := losses{queue: int(queue.QueueDropped + queue.UserDropped)}

			s.cmd.Process.Kill()
			s.wait()
			var full, unread int
			if told := s.gone(); !strings.HasPrefix(told, "lost ") {
				t.Fatalf("the supervisor told %q", told)
			} else if _, err := fmt.Sscanf(told, "lost %d %d", &full, &unread); err != nil {
				t.Fatal(err)
			}
			lost.handler = full + unread

			// What lo has on its way, a busy machine takes its time to deliver.
			arrived := 0
			to.SetReadDeadline(time.Now().Add(patience))
			for arrived+lost.sum() < sent {
				if _, err := to.Read(make([]byte, 100)); err != nil {
					t.Fatalf("%d of %d arrived, %+v are lost: %v", arrived, sent, lost, err)
				}
				arrived++
				lost.receiver, lost.loopback = socketDrops(t, to), loopbackDrops(t)-before
			}
			if arrived+lost.sum() != sent {
				t.Errorf("%d of %d arrived, and %+v are lost", arrived, sent, lost)
			}
			if where := map[bool]int{true: lost.handler, false: lost.receiver}[tt.stopped]; where == 0 {
				t.Errorf("%d of %d arrived, %+v are lost; this is no test", arrived, sent, lost)
			}
		})
	}
}

// queued waits until no more than so many packets wait in the kernel's queue, which
// is then said to be as it is.
func queued(t *testing.T, most uint32) wire.QueueInfo {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile("/proc/net/netfilter/nfnetlink_queue")
		if err != nil {
			t.Fatal(err)
		}
		queues, err := wire.ParseQueueTable(b)
		if err != nil || len(queues) != 1 {
			t.Fatalf("queues %+v, %v", queues, err)
		}
		if queues[0].Waiting <= most {
			return queues[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d packets still wait", queues[0].Waiting)
		}
	}
}

// socketDrops returns how many datagrams a socket had no room for.
func socketDrops(t *testing.T, c *net.UDPConn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info [9]uint32 // SK_MEMINFO_VARS; the last is SK_MEMINFO_DROPS
	size := uint32(unsafe.Sizeof(info))
	raw.Control(func(fd uintptr) {
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			t.Error(errno)
		}
	})
	return int(info[8])
}

// loopbackDrops returns how many packets lo had no room for.
func loopbackDrops(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	_, figures, ok := strings.Cut(string(b), "lo:")
	var bytes, packets, errs, drop int
	if _, err := fmt.Sscan(figures, &bytes, &packets, &errs, &drop); !ok || err != nil {
		t.Fatalf("/proc/net/dev is %q: %v", b, err)
	}
	return drop
}
