package ipqueue_test

import (
	"encoding/binary"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"ipq/ipqueue"
)

// socketStep does the steps that are about a program's socket itself, or about
// many packets. It returns false when s is none of them.
func (p *replay) socketStep(s step) bool {
	t := p.t
	t.Helper()
	switch s.verb {
	case "cut":
		p.cut(s)
	case "poll":
		p.poll(s)
	case "sndbuf":
		fd, size := p.programs[s.fields[0]].fd, s.number(t, 1)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size/2); err != nil {
			t.Fatal(err)
		}
		if got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err != nil || got != size {
			t.Errorf("SO_SNDBUF is %d, %v; want %d", got, err, size)
		}
	case "flood":
		p.flood(s)
	case "ping":
		p.ping(s)
	default:
		return false
	}
	return true
}

// send sends a message as s says.
func (p *replay) send(prog *program, s step, b []byte) {
	t := p.t
	t.Helper()
	prog.last = b
	switch {
	case s.option["groups"] != "":
		n, err := strconv.ParseUint(s.option["groups"], 0, 32)
		if err == nil {
			err = sendtoNetlink(prog.fd, b, uint32(n))
		}
		if err != nil {
			t.Fatal(err)
		}
	case s.option["error"] == "EMSGSIZE":
		if err := unix.Sendto(prog.fd, b, 0, nil); err != unix.EMSGSIZE {
			t.Fatalf("sending %d bytes: %v, want EMSGSIZE", len(b), err)
		}
	default:
		prog.sendAs(p.user, b)
	}
}

// cut receives into 64 bytes.
func (p *replay) cut(s step) {
	t, prog := p.t, p.programs[s.fields[0]]
	t.Helper()
	if !prog.readable(patience) {
		t.Fatal("nothing to receive")
	}
	b := make([]byte, 64)
	want := s.number(t, 1)
	flags := 0
	if want > len(b) {
		flags = unix.MSG_TRUNC
	}
	if len(s.fields) > 2 {
		flags |= unix.MSG_PEEK
	}
	n, _, got, _, err := unix.Recvmsg(prog.fd, b, nil, flags)
	if err != nil || n != want || got&unix.MSG_TRUNC == 0 {
		t.Errorf("received %d bytes, flags %#x, %v; want %d and MSG_TRUNC", n, got, err, want)
	}
}

func (p *replay) poll(s step) {
	t, prog := p.t, p.programs[s.fields[0]]
	t.Helper()
	want := int16(s.number(t, 1))
	fds := []unix.PollFd{{Fd: int32(prog.fd), Events: unix.POLLIN | unix.POLLPRI | unix.POLLOUT}}
	p.settled()
	if !eventually(func() bool {
		unix.Poll(fds, 0)
		return fds[0].Revents == want
	}) {
		t.Errorf("poll reports %#x, want %#x", fds[0].Revents, want)
	}
}

// flood sends many datagrams, while the program reads.
func (p *replay) flood(s step) {
	t, prog := p.t, p.programs[s.fields[0]]
	t.Helper()
	prog.fence()
	size, packets := s.number(t, 2), s.number(t, 4)
	for sent := range s.number(t, 3) {
		if sent%50 == 0 { // a socket may only have so many packets on the way
			source := p.net.source
			p.net.source = p.net.listen(t, p.net.host, "0")
			defer func() {
				p.net.source.Close()
				p.net.source = source
			}()
		}
		p.net.send(t, s.fields[1], size)
		if packets > 0 {
			packets--
			prog.wantPacket()
		}
	}
	if packets > 0 {
		t.Errorf("%d packets are missing", packets)
	}
}

// ping sends an echo request.
func (p *replay) ping(s step) {
	t := p.t
	t.Helper()
	network, echo := "ip4:icmp", byte(8)
	if p.recording.family == ipqueue.IPv6 {
		network, echo = "ip6:ipv6-icmp", 128
	}
	c, err := net.Dial(network, s.fields[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 8+s.number(t, 1))
	b[0] = echo
	if echo == 8 { // the kernel fills in that of IPv6
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// checksum is the Internet checksum of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
