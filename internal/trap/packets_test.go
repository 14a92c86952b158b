//go:build linux

package trap_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/rules"
)

// TestPackets has a program that opens NETLINK_FIREWALL or NETLINK_IP6_FW decide
// on real packets, and change them: the whole way, with Go alone.
func TestPackets(t *testing.T) {
	sandbox.RequireQueue(t)
	each(t, func(t *testing.T, client string, bits int) {
		for _, tt := range []struct{ name, protocol, network, bound string }{
			{"ip_queue", "3", "udp4", "bound"},
			{"ip6_queue", "13", "udp6", "bound"},
			{"never bound", "3", "udp4", "unbound"},
		} {
			t.Run(tt.name, func(t *testing.T) { testPackets(t, client, tt.protocol, tt.network, tt.bound) })
		}
	})
}

func testPackets(t *testing.T, client, protocol, network, bound string) {
	to, err := net.ListenUDP(network, &net.UDPAddr{IP: net.IPv6loopback})
	if network == "udp4" {
		to, err = net.ListenUDP(network, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if network == "udp6" {
		raw, err := to.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_RX, 1) })
		if err != nil {
			t.Fatal(err)
		}
	}
	port := to.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	table, err := rules.Install(rules.Plan{Chains: []rules.Chain{{
		Hook:  rules.Output,
		Match: []rules.Match{{Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(port)}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()

	s := startWith(t, []string{environHandler + "=" + handlerReal}, client, "passer", protocol, bound).supervised()
	read := func(want string) {
		t.Helper()
		if line, err := s.stdout.ReadString('\n'); line != want+"\n" {
			t.Fatalf("the program printed %q, %v, want %q: %s", line, err, want, s.stderr.String())
		}
	}
	if bound == "bound" {
		read("bind: ok")
	}
	read("message of type 2 error 0")
	for _, text := range []string{"1 accept", "2   drop", "3 accept", "4    end"} {
		sendUDP(t, to.LocalAddr().(*net.UDPAddr).AddrPort(), text)
		read("packet at hook 3 to lo with " + text)
	}
	if status := s.wait(); status != 0 {
		t.Errorf("status %#x", status)
	}
	s.gone()
	if s.stderr.String() != "" {
		t.Errorf("standard error: %s", s.stderr.String())
	}
	for _, want := range []string{"1 ACCEPT", "3 ACCEPT"} {
		var b [100]byte
		to.SetReadDeadline(time.Now().Add(patience))
		n, err := to.Read(b[:])
		if string(b[:n]) != want {
			t.Errorf("%q arrived, %v, want %q", b[:n], err, want)
		}
	}
	// Nobody has the queue now: what is sent is dropped. The two that the program
	// dropped did not arrive in between.
	sendUDP(t, to.LocalAddr().(*net.UDPAddr).AddrPort(), "5 accept")
	table.Close()
	sendUDP(t, to.LocalAddr().(*net.UDPAddr).AddrPort(), "no rule")
	var b [100]byte
	if n, err := to.Read(b[:]); string(b[:n]) != "no rule" {
		t.Errorf("%q arrived, %v, want only what no rule is for", b[:n], err)
	}
}

// TestGivenAway has the program leave its socket to a process that is not its
// descendant, and end: the socket must be served until it is closed.
func TestGivenAway(t *testing.T) {
	sandbox.RequireQueue(t)
	path := filepath.Join(t.TempDir(), "gift")
	l := listen(t, path)
	s := startWith(t, []string{environHandler + "=" + handlerReal}, client(t, runtime.GOARCH), "give", path).supervised()
	gift := receiveGift(t, l)
	if status := s.wait(); status != 0 || s.output() != "give: ok\n" {
		t.Fatalf("status %#x", status)
	}
	// IPQM_MODE, with NLM_F_ACK, to copy metadata.
	request := make([]byte, 40)
	for at, v := range map[int]byte{0: 40, 4: 0x11, 6: 5, 12: 1, 16: 1} {
		request[at] = v
	}
	if _, err := gift.Write(request); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 100)
	if n, err := gift.Read(answer); n != 36 || answer[4] != 2 || answer[16] != 0 {
		t.Errorf("the answer is %x, %v; want an acknowledgement", answer[:n], err)
	}
	gift.Close()
	s.gone()
}

// receiveGift receives a descriptor that a program gives away.
func receiveGift(t *testing.T, l *net.UnixListener) *os.File {
	t.Helper()
	c, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	gift := os.NewFile(uintptr(fds[0]), "gift")
	t.Cleanup(func() { gift.Close() })
	return gift
}

// sendUDP sends a datagram with no checksum, so that it may be changed.
func sendUDP(t *testing.T, to netip.AddrPort, text string) {
	t.Helper()
	c, err := net.Dial("udp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		if err == nil && to.Addr().Is6() {
			// A checksum of zero is for tunnels in IPv6, so both ends must want it.
			err = os.NewSyscallError("UDP_NO_CHECK6_TX", unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_TX, 1))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}
