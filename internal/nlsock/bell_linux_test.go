package nlsock

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newPair returns an end of a socketpair in a Conn, and the descriptor of the other.
func newPair(t *testing.T) (c *Conn, peer int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]) })
	if c, err = Adopt(os.NewFile(uintptr(fds[1]), "end")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c, fds[0]
}

// What arrives while the reader is awake wakes nobody else.
func TestBellIsSilent(t *testing.T) {
	c, peer := newPair(t)
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
	send := func() (rung bool) {
		t.Helper()
		if err := unix.Send(peer, []byte("datagram"), 0); err != nil {
			t.Fatal(err)
		}
		n, err := unix.EpollWait(poller, make([]unix.EpollEvent, 1), 0)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	receive := func(recv func(*Ring) (int, error), want int) {
		t.Helper()
		if n, err := recv(NewRing(4, 64)); n != want || err != nil {
			t.Fatalf("received %d, %v; want %d", n, err, want)
		}
	}

	if !send() {
		t.Fatal("a new reader would not be woken")
	}
	receive(c.Recv, 1)
	if send() {
		t.Error("it rang although the reader had not had to wait")
	}
	receive(c.TryRecv, 1)
	if send() {
		t.Error("it rang although the reader does not wait")
	}
	receive(c.Recv, 1)

	// Under little load the next datagram has to be waited for as well, and making it ring anew each time costs something.
	received := make(chan error)
	go func() {
		_, err := c.Recv(NewRing(4, 64))
		received <- err
	}()
	for watched := false; !watched; {
		if err := c.bell.rc.Control(func(bell uintptr) { watched = watches(t, bell) }); err != nil {
			t.Fatal(err)
		}
	}
	send()
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	if !send() {
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
func TestBellRings(t *testing.T) {
	c, peer := newPair(t)
	begin := make(chan int)
	defer close(begin)
	go func() {
		for spin := range begin {
			for began := time.Now(); time.Since(began) < time.Duration(spin)*time.Nanosecond; {
			}
			if err := unix.Send(peer, []byte("datagram"), 0); err != nil {
				t.Error(err)
			}
		}
	}()
	r := NewRing(4, 64)
	for i := range 50000 {
		begin <- i % 5000
		if n, err := c.Recv(r); n != 1 || err != nil {
			t.Fatalf("datagram %d: received %d, %v", i, n, err)
		}
	}
}
