package ipqtest_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// realWorld is the kernel's own queue, fed by a rule with datagrams that a socket sends to another over lo.
type realWorld struct {
	queue    *ipq.Queue
	senders  []*net.UDPConn // in turn, because what is queued counts against the buffer of the socket that sent it
	turn     int
	unqueued *net.UDPConn // what it sends, the rule does not take
	receiver *net.UDPConn
	fences   int
	marks    bool // whether the receiver sees them

	mu      sync.Mutex
	arrived map[string]uint32 // the marks of datagrams, by their data
	change  chan struct{}     // closed when something arrives
}

const receiverPort, firstSender, lastSender = 5000, 5001, 5016

func newRealWorld(t *testing.T) *realWorld {
	t.Helper()
	sandbox.RequireQueue(t)
	w := &realWorld{arrived: make(map[string]uint32), change: make(chan struct{})}
	at := func(port int) *net.UDPAddr { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }
	var err error
	if w.receiver, err = net.ListenUDP("udp4", at(receiverPort)); err != nil {
		t.Fatal(err)
	}
	raw, err := w.receiver.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		// Room for 500 datagrams, whatever the sandbox may do. No test has more under way.
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 212992)
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVMARK, 1)
	})
	w.marks = err == nil
	for port := firstSender; port <= lastSender; port++ {
		c, err := net.DialUDP("udp4", at(port), at(receiverPort))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		w.senders = append(w.senders, c)
	}
	if w.unqueued, err = net.DialUDP("udp4", nil, at(receiverPort)); err != nil {
		t.Fatal(err)
	}
	// Before any queue is open, so that it goes after all of them: packets that are held would hold up the table.
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: queueNumber}, Chains: []rules.Chain{{
		Hook: rules.Output,
		Match: []rules.Match{{
			Family: rules.IPv4, Protocols: []rules.Protocol{rules.UDP}, SrcPorts: []rules.PortRange{{First: firstSender, Last: lastSender}},
			Except: []rules.Match{{Mark: passMark, MarkMask: ^uint32(0)}},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	ended := make(chan struct{})
	go func() { defer close(ended); w.receive() }()
	t.Cleanup(func() {
		w.unqueued.Close()
		w.receiver.Close()
		<-ended
	})
	return w
}

// receive notes what arrives, until the receiver is closed.
func (w *realWorld) receive() {
	buf, oob := make([]byte, 1<<16), make([]byte, 128)
	for {
		n, noob, _, _, err := w.receiver.ReadMsgUDP(buf, oob)
		if err != nil {
			return
		}
		var mark uint32
		messages, _ := unix.ParseSocketControlMessage(oob[:noob])
		for _, m := range messages {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_MARK {
				mark = binary.NativeEndian.Uint32(m.Data)
			}
		}
		w.mu.Lock()
		w.arrived[string(buf[:n])] = mark
		close(w.change)
		w.change = make(chan struct{})
		w.mu.Unlock()
	}
}

func (w *realWorld) open(t *testing.T, c ipq.Config) *ipq.Queue {
	t.Helper()
	c.Queue = queueNumber
	q, err := ipq.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	w.queue = q
	t.Cleanup(func() { q.Close() })
	return q
}

func (w *realWorld) send(t *testing.T, data string, mark uint32) parcel {
	t.Helper()
	w.turn++
	sender := w.senders[w.turn%len(w.senders)]
	raw, err := sender.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sender.Write([]byte(data)); err != nil && !errors.Is(err, unix.EPERM) { // EPERM: dropped at once
		t.Fatal(err)
	}
	return parcel{data: data}
}

// wait waits until a datagram with this data has arrived.
func (w *realWorld) wait(t *testing.T, data string) (mark uint32) {
	t.Helper()
	for {
		w.mu.Lock()
		mark, ok := w.arrived[data]
		change := w.change
		w.mu.Unlock()
		if ok {
			return mark
		}
		soon(t, change, fmt.Sprintf("%.20q (%d bytes) to arrive", data, len(data)))
	}
}

func (w *realWorld) delivered(t *testing.T, p parcel, data string, mark uint32) {
	t.Helper()
	if !w.marks {
		sandbox.Require(t, "so_rcvmark", mark == 0, "the mark of what arrives is seen with SO_RCVMARK, of Linux 5.19")
		mark = 0
	}
	if got := w.wait(t, data); got != mark {
		t.Errorf("%.20q was delivered with mark %#x, want %#x", p.data, got, mark)
	}
}

func (w *realWorld) dropped(t *testing.T, p parcel) {
	t.Helper()
	until(t, "the queue to be empty", func() bool {
		s := w.queue.Stats().Kernel
		return s == nil || s.Waiting == 0 // nil when it is closed
	})
	w.fence(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.arrived[p.data]; ok {
		t.Errorf("%.20q was delivered", p.data)
	}
}

// fence waits for a datagram that is sent beside the queue, so that what was let through before has arrived too.
func (w *realWorld) fence(t *testing.T) {
	t.Helper()
	w.fences++
	data := fmt.Sprintf("fence %d", w.fences)
	if _, err := w.unqueued.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	w.wait(t, data)
}

func (w *realWorld) loss(t *testing.T) ipq.KernelStats {
	t.Helper()
	s := w.queue.Stats().Kernel
	if s == nil {
		t.Fatal("the kernel's table of queues cannot be read")
	}
	return *s
}

// flush deletes a base chain that has nothing to do with the queue.
func (w *realWorld) flush(t *testing.T) {
	t.Helper()
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 1, Bypass: true}, Chains: []rules.Chain{{Hook: rules.Forward}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "the kernel to flush", func() bool { return w.queue.Stats().Kernel.Waiting == 0 })
}

func (w *realWorld) socket(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "netlink")
	t.Cleanup(func() { f.Close() })
	return f
}
