package ipqueue_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/ipqueue"
)

// The tests here hold the kernel to what this package takes for granted of an
// AF_UNIX SOCK_SEQPACKET pair that passes for a netlink socket.

func pair(t *testing.T) (handler, program int) {
	t.Helper()
	handler, program, err := ipqueue.NewPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(handler)
		unix.Close(program)
	})
	return handler, program
}

// closeNow closes a descriptor of pair before its cleanup does, which then finds
// another in its place.
func closeNow(t *testing.T, fd int) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

func TestPairLooksLikeNetlink(t *testing.T) {
	handler, program := pair(t)
	if err := unix.Send(handler, []byte("to the program"), 0); err != nil {
		t.Fatal(err)
	}
	n, from := recvfrom(t, program, make([]byte, 100), 0)
	if n != 14 {
		t.Errorf("received %d bytes", n)
	}
	// What libipq checks of a struct sockaddr_nl.
	if len(from) != unix.SizeofSockaddrNetlink {
		t.Errorf("the source address has %d bytes, want 12", len(from))
	}
	if port := binary.NativeEndian.Uint32(from[4:]); port != 0 {
		t.Errorf("the source port is %d, want 0", port)
	}
	// What programs do: sendto with a netlink address, with groups too, and write.
	for groups := range uint32(2) {
		if err := sendtoNetlink(program, []byte("addressed"), groups); err != nil {
			t.Errorf("sendto with nl_groups %d: %v", groups, err)
		}
	}
	if _, err := unix.Write(program, []byte("written")); err != nil {
		t.Errorf("write: %v", err)
	}
	for _, want := range []string{"addressed", "addressed", "written"} {
		b := make([]byte, 100)
		if n, _ := recvfrom(t, handler, b, 0); string(b[:n]) != want {
			t.Errorf("the handler received %q, want %q", b[:n], want)
		}
	}
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		if err := unix.SetsockoptInt(program, unix.SOL_SOCKET, option, 100000); err != nil {
			t.Errorf("setsockopt %d: %v", option, err)
		}
	}
	if flags, err := unix.FcntlInt(uintptr(program), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("the program's end is non-blocking: %#x, %v", flags, err)
	}
}

// Every pair of a namespace has an address of its own.
func TestPairAddressesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		handler, program := pair(t)
		unix.Send(handler, []byte{1}, 0)
		_, from := recvfrom(t, program, make([]byte, 1), 0)
		if seen[string(from)] {
			t.Fatalf("address % x came twice", from)
		}
		seen[string(from)] = true
	}
}

// The kernel refuses the same address twice, so that a chance in 2^40 is seen and
// another one drawn.
func TestPairAddressTwice(t *testing.T) {
	handler, _ := pair(t)
	name := ownAddress(t, handler)
	other, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	if errno := rawAddress(unix.SYS_BIND, other, name); errno != unix.EADDRINUSE {
		t.Errorf("binding another socket to % x: %v, want EADDRINUSE", name, errno)
	}
	if errno := rawAddress(unix.SYS_CONNECT, other, name); errno != unix.ECONNREFUSED {
		t.Errorf("connecting to % x, which does not listen: %v, want ECONNREFUSED", name, errno)
	}
}

func TestPairTruncates(t *testing.T) {
	handler, program := pair(t)
	unix.Send(handler, bytes.Repeat([]byte{7}, 340), 0)
	b := make([]byte, 64)
	if n, _ := recvfrom(t, program, b, unix.MSG_PEEK|unix.MSG_TRUNC); n != 340 {
		t.Errorf("MSG_PEEK|MSG_TRUNC returned %d, want 340", n)
	}
	_, _, flags, _, err := unix.Recvmsg(program, b, nil, 0)
	if err != nil || flags&unix.MSG_TRUNC == 0 {
		t.Errorf("recvmsg into 64 bytes: flags %#x, %v; want MSG_TRUNC", flags, err)
	}
	if n, _, err := unix.Recvfrom(program, b, unix.MSG_DONTWAIT); err != unix.EAGAIN {
		t.Errorf("the rest of the datagram was still there: %d, %v", n, err)
	}
}

func TestPairCarriesTheLargestMessages(t *testing.T) {
	handler, program := pair(t)
	for _, size := range []int{65667, 16 + 24 + 65535, 16 + 24 + 131000} {
		if err := unix.Send(handler, make([]byte, size), unix.MSG_DONTWAIT); err != nil && size < 70000 {
			t.Errorf("%d bytes to the program: %v", size, err)
		} else if err == nil {
			if n, _ := recvfrom(t, program, make([]byte, 200000), 0); n != size {
				t.Errorf("%d of %d bytes arrived", n, size)
			}
		}
		if err := unix.Send(program, make([]byte, size), unix.MSG_DONTWAIT); err != nil {
			t.Errorf("%d bytes to the handler: %v", size, err)
		} else if n, _ := recvfrom(t, handler, make([]byte, 200000), 0); n != size {
			t.Errorf("%d of %d bytes arrived", n, size)
		}
	}
	// As netlink: EMSGSIZE from SO_SNDBUF less 32 on.
	sndbuf, err := unix.GetsockoptInt(program, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Send(program, make([]byte, sndbuf-31), unix.MSG_DONTWAIT); err != unix.EMSGSIZE {
		t.Errorf("%d bytes with an SO_SNDBUF of %d: %v, want EMSGSIZE", sndbuf-31, sndbuf, err)
	}
	if err := unix.Send(program, make([]byte, sndbuf-32), unix.MSG_DONTWAIT); err != nil {
		t.Errorf("%d bytes with an SO_SNDBUF of %d: %v", sndbuf-32, sndbuf, err)
	}
}

// What bounds the backlog of a program is SO_SNDBUF of the handler's end.
func TestPairBacklog(t *testing.T) {
	fill := func(size int) int {
		handler, program := pair(t)
		if err := unix.SetsockoptInt(program, unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
			t.Fatal(err)
		}
		if err := unix.SetsockoptInt(handler, unix.SOL_SOCKET, unix.SO_SNDBUF, size); err != nil {
			t.Fatal(err)
		}
		for n := 0; ; n++ {
			switch err := unix.Send(handler, make([]byte, 240), unix.MSG_DONTWAIT); {
			case err == unix.EAGAIN:
				if unread := ipqueue.Unread(uintptr(handler)); unread == 0 {
					t.Error("a full socket has nothing unread")
				}
				for range n {
					recvfrom(t, program, make([]byte, 240), 0)
				}
				if unread := ipqueue.Unread(uintptr(handler)); unread != 0 {
					t.Errorf("%d bytes are unread of a socket that was drained", unread)
				}
				return n
			case err != nil:
				t.Fatal(err)
			}
		}
	}
	small, large := fill(20000), fill(80000)
	if small == 0 || large < 3*small {
		t.Errorf("%d messages fit into 20,000 bytes, %d into 80,000", small, large)
	}
}

// A program that leaves with packets unread resets the connection; what it wrote
// can be read all the same.
func TestPairResetKeepsData(t *testing.T) {
	handler, program := pair(t)
	unix.Send(handler, []byte("never read"), 0)
	unix.Write(program, []byte("last verdict"))
	unix.Write(program, []byte("really last"))
	closeNow(t, program)
	b := make([]byte, 100)
	if _, _, err := unix.Recvfrom(handler, b, 0); err != unix.ECONNRESET {
		t.Fatalf("first receive: %v, want ECONNRESET", err)
	}
	for _, want := range []string{"last verdict", "really last", ""} {
		if n, _ := recvfrom(t, handler, b, 0); string(b[:n]) != want {
			t.Errorf("received %q, want %q", b[:n], want)
		}
	}
	if err := unix.Send(handler, []byte{1}, unix.MSG_NOSIGNAL); err != unix.EPIPE {
		t.Errorf("sending to a program that is gone: %v, want EPIPE", err)
	}
}

// And a handler that is gone is an end of file, and EPIPE, for the program.
func TestPairEndOfFile(t *testing.T) {
	handler, program := pair(t)
	unix.Send(handler, []byte("packet"), 0)
	closeNow(t, handler)
	b := make([]byte, 100)
	for _, want := range []int{6, 0, 0} {
		if n, _ := recvfrom(t, program, b, 0); n != want {
			t.Errorf("received %d bytes, want %d", n, want)
		}
	}
	if _, err := unix.Write(program, []byte{1}); err != unix.EPIPE && err != unix.ECONNRESET {
		t.Errorf("writing to a handler that is gone: %v", err)
	}
}

// An empty datagram is told from an end of file by its credentials, which name
// the real user of whoever sent it, and descriptors that come along are thrown
// away.
func TestPairCredentials(t *testing.T) {
	handler, program := pair(t)
	read := func() (n int, cred unix.Ucred, ok, eof bool) {
		t.Helper()
		in := ipqueue.NewInbox()
		got, errno := in.Receive(uintptr(handler))
		if errno != 0 || got < 1 {
			t.Fatalf("receiving: %d, %v", got, errno)
		}
		b, eof := in.Datagram(0)
		cred, ok = in.Sender(0)
		return len(b), cred, ok, eof
	}
	self := unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}

	unix.Write(program, nil)
	if err := unix.Sendto(program, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	if n, cred, ok, eof := read(); n != 0 || !ok || eof || cred != self {
		t.Errorf("an empty datagram: %d bytes, from %+v, %v, end of file %v", n, cred, ok, eof)
	}

	fds := countFiles(t)
	rights := unix.UnixRights(program, program, program)
	if err := unix.Sendmsg(program, []byte("with files"), rights, nil, 0); err != nil {
		t.Fatal(err)
	}
	if n, cred, ok, eof := read(); n != 10 || !ok || eof || cred != self {
		t.Errorf("a datagram with files: %d bytes, from %+v, %v, end of file %v", n, cred, ok, eof)
	}
	if now := countFiles(t); now != fds {
		t.Errorf("%d files are open, %d were before a program sent some", now, fds)
	}

	if os.Geteuid() == 0 && mapped(65534) {
		// The real user counts, not the effective one: a difference to ip_queue,
		// which saw what a set-user-id program could do.
		for _, test := range []struct{ real, effective, want uint32 }{{65534, 65534, 65534}, {65534, 0, 65534}, {0, 65534, 0}} {
			done := make(chan error)
			go func() {
				runtime.LockOSThread()
				_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(test.real), uintptr(test.effective), 0)
				if errno == 0 {
					done <- unix.Sendto(program, []byte{1}, 0, nil)
				} else {
					done <- errno
				}
			}()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if _, cred, ok, _ := read(); !ok || cred.Uid != test.want {
				t.Errorf("user %d, effective %d, shows as %d, %v; want %d", test.real, test.effective, cred.Uid, ok, test.want)
			}
		}
	}

	closeNow(t, program)
	if _, _, ok, eof := read(); ok || !eof {
		t.Errorf("end of file: %v, credentials %v", eof, ok)
	}
}

func countFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A program waits with select or poll: readable exactly when there is something.
func TestPairPolls(t *testing.T) {
	handler, program := pair(t)
	poll := func() int16 {
		fds := []unix.PollFd{{Fd: int32(program), Events: unix.POLLIN | unix.POLLOUT}}
		if _, err := unix.Poll(fds, 0); err != nil {
			t.Fatal(err)
		}
		return fds[0].Revents
	}
	if got := poll(); got != unix.POLLOUT {
		t.Errorf("idle: %#x, want POLLOUT", got)
	}
	unix.Send(handler, []byte{1}, 0)
	if got := poll(); got != unix.POLLIN|unix.POLLOUT {
		t.Errorf("with a packet: %#x, want POLLIN|POLLOUT", got)
	}
	recvfrom(t, program, make([]byte, 1), 0)
	tv := unix.NsecToTimeval(int64(time.Millisecond))
	if err := os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(program, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := unix.Recvfrom(program, make([]byte, 1), 0); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("idle receive with SO_RCVTIMEO: %v, want EAGAIN", err)
	}
}
