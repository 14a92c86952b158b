package nlsock_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/nlsock"
)

// One Recv puts each datagram into a buffer of its own, whatever the size of a word is.
func TestRecvSeveral(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	c, err := nlsock.Adopt(os.NewFile(uintptr(fds[1]), "end"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 5
	for i := range n {
		if err := unix.Send(fds[0], fmt.Append(nil, "datagram ", i), 0); err != nil {
			t.Fatal(err)
		}
	}
	r := nlsock.NewRing(n+1, 64)
	if got, err := c.Recv(r); got != n || err != nil {
		t.Fatalf("Recv: %d, %v; want %d", got, err, n)
	}
	for i := range n {
		if got, want := string(r.Datagram(i)), fmt.Sprint("datagram ", i); got != want || r.Cut(i) {
			t.Errorf("buffer %d has %q (cut: %v), want %q", i, got, r.Cut(i), want)
		}
	}
}
