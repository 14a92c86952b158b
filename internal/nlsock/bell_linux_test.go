package nlsock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dialTest returns a netlink socket, and what makes the kernel send a datagram to it: the answer to a message
// that does nothing.
func dialTest(t *testing.T) (c *Conn, provoke func()) {
	t.Helper()
	c, err := Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	noop := binary.NativeEndian.AppendUint32(nil, unix.NLMSG_HDRLEN)
	noop = binary.NativeEndian.AppendUint16(noop, unix.NLMSG_NOOP)
	noop = binary.NativeEndian.AppendUint16(noop, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	noop = append(noop, make([]byte, 8)...)
	v := new(Vector)
	v.Add(noop)
	return c, func() {
		if err := c.Send(v); err != nil {
			t.Error(err)
		}
	}
}

// What arrives while the reader is awake wakes nobody else.
func TestBellIsSilent(t *testing.T) {
	if !epollNests() {
		t.Skip("the kernel is older than 5.7: the poller watches the socket itself")
	}
	c, provoke := dialTest(t)
	if err := c.f.SetReadDeadline(time.Time{}); !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("the socket itself is in the runtime's poller: %v", err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	poller, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(poller)
	if err := c.bell.rc.Control(func(bell uintptr) {
		err = unix.EpollCtl(poller, unix.EPOLL_CTL_ADD, int(bell), &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET&0xffffffff})
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	rings := func() bool {
		t.Helper()
		provoke()
		n, err := unix.EpollWait(poller, make([]unix.EpollEvent, 1), 0)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	receive := func(recv func(*Ring) (int, error)) {
		t.Helper()
		if n, err := recv(NewRing(4, 64)); n != 1 || err != nil {
			t.Fatalf("received %d, %v; want 1", n, err)
		}
	}

	if !rings() {
		t.Fatal("a new reader would not be woken")
	}
	receive(c.Recv)
	if rings() {
		t.Error("it rang although the reader had not had to wait")
	}
	receive(c.TryRecv)
	if rings() {
		t.Error("it rang although the reader does not wait")
	}
	receive(c.Recv)

	// Under little load the next datagram has to be waited for as well, and making it ring anew each time costs something.
	received := make(chan error, 1)
	go func() {
		_, err := c.Recv(NewRing(4, 64))
		received <- err
	}()
	for watched := false; !watched; {
		select {
		case err := <-received:
			t.Fatalf("Recv returned although nothing was there, or was not to be woken: %v", err)
		default:
		}
		if err := c.bell.rc.Control(func(bell uintptr) { watched = watches(t, bell) }); err != nil {
			t.Fatal(err)
		}
	}
	provoke()
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	if !rings() {
		t.Error("it did not ring although the reader had to wait for the last datagram")
	}
}

// watches reports whether the only descriptor in an epoll descriptor is watched for something to read.
func watches(t *testing.T, epoll uintptr) bool {
	t.Helper()
	info, err := os.ReadFile(fmt.Sprint("/proc/self/fdinfo/", epoll))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(info), "events:")
	var events uint32
	if _, err := fmt.Sscanf(after, "%x", &events); err != nil {
		t.Fatalf("%v in %q", err, info)
	}
	return events&unix.EPOLLIN != 0
}

// Who waits is woken, whenever the datagram comes: before, while and after the bell is made to ring.
func TestBellRings(t *testing.T) { testWoken(t, 50000) }

// Where epoll descriptors do not nest well, the socket itself is in the poller.
func TestWithoutBell(t *testing.T) {
	nests := epollNests
	defer func() { epollNests = nests }()
	epollNests = func() bool { return false }
	testWoken(t, 5000)
}

func testWoken(t *testing.T, datagrams int) {
	c, provoke := dialTest(t)
	begin := make(chan bool, 1)
	gone := make(chan bool)
	go func() {
		defer close(gone)
		for range begin {
			provoke()
		}
	}()
	defer func() { close(begin); <-gone }()
	r := NewRing(4, 64)
	for i := range datagrams {
		if i%1000 == 0 {
			if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := c.TryRecv(r); n != 0 || err != nil { // makes it silent
			t.Fatalf("before datagram %d: received %d, %v", i, n, err)
		}
		begin <- true
		// It takes another thread some microseconds to come for the sender.
		for began := time.Now(); time.Since(began) < time.Duration(i%12000)*time.Nanosecond; {
		}
		if n, err := c.Recv(r); n != 1 || err != nil {
			t.Fatalf("datagram %d: received %d, %v", i, n, err)
		}
	}
}

// Who shares a socket may rely on its not blocking.
func TestAdoptKeepsNonblock(t *testing.T) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	shared, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Adopt(os.NewFile(uintptr(shared), "shared"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
	if err := c.f.SetReadDeadline(time.Time{}); epollNests() && !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("the socket itself is in the runtime's poller: %v", err)
	}
}
