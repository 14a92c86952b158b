package ipqueue_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
)

// replayDevices are the interfaces of the cases that are about interfaces: what
// the recording machine had, made anew for every case.
type replayDevices struct {
	t      *testing.T
	frames map[string]*os.File // the other ends of tap0, tap2 and tun1
	added  []string            // others
	tcp    int                 // a socket, -1 when there is none
	server net.Listener
	client chan *net.TCPConn // as the server sees it
}

// deviceStep does the steps of such cases. It returns false when s is none of
// them.
func (p *replay) deviceStep(s step) bool {
	t, d := p.t, p.devices
	t.Helper()
	switch s.verb {
	case "devices":
		p.devices = newReplayDevices(t, s)
	case "inject":
		frame, err := decodeBytes(s.fields[1], p.recording.layout, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.frames[s.fields[0]].Write(frame); err != nil {
			t.Fatal(err)
		}
		ip := frame
		if s.fields[0] != "tun1" {
			ip = frame[14:]
		}
		p.net.used = strconv.Itoa(int(binary.BigEndian.Uint16(ip[22:]))) // UDP's destination port
	case "send":
		d.send(s)
	case "frame":
		p.settled()
		d.frame(s)
	case "device":
		d.change(s.fields[0], s.fields[1])
	case "bridge":
		_, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables")
		sandbox.Require(t, "br_netfilter", err == nil, "the kernel does not tell the ports of a bridge; load br_netfilter")
		d.add(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: s.fields[0]}})
	case "port":
		d.must(netlink.LinkSetMaster(link(t, s.fields[1]), link(t, s.fields[0])))
	case "address":
		d.address(s.fields[0], s.fields[1])
	case "neighbour":
		d.neighbour(s.fields[0], s.fields[1], s.fields[2])
	case "tcp":
		d.stream(s)
	default:
		return false
	}
	return true
}

func (d *replayDevices) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func newReplayDevices(t *testing.T, s step) *replayDevices {
	t.Helper()
	d := &replayDevices{t: t, frames: map[string]*os.File{}, tcp: -1}
	var router sandbox.Host
	for _, set := range [][2]string{
		{"net.ipv4.ip_forward", "1"}, {"net.ipv4.conf.all.rp_filter", "0"}, {"net.ipv4.conf.default.rp_filter", "0"},
		{"net.ipv6.conf.default.disable_ipv6", "1"},
		{"net.ipv4.tcp_early_retrans", "0"}, // or TCP repeats what is not acknowledged within milliseconds
	} {
		d.must(router.Sysctl(set[0], set[1]))
	}
	d.must(netlink.LinkSetUp(link(t, "lo")))
	d.tunnel("tap0", unix.IFF_TAP, s.option["tap0"], "10.9.0.1/24")
	d.tunnel("tun1", unix.IFF_TUN, "", "10.8.0.1/24")
	d.tunnel("tap2", unix.IFF_TAP, s.option["tap2"], "10.7.0.1/24")
	d.neighbour("tap2", "10.7.0.2", "02:aa:bb:cc:dd:ee")
	d.add(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "dummy0"}, PeerName: "dummy1"})
	d.must(router.Sysctl("net.ipv6.conf.default.disable_ipv6", "0"))
	return d
}

// tunnel makes an interface whose other end is a file.
func (d *replayDevices) tunnel(name string, kind uint16, mac, address string) {
	d.t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	sandbox.Require(d.t, "tun", err == nil, fmt.Sprintf("/dev/net/tun: %v", err))
	req, err := unix.NewIfreq(name)
	d.must(err)
	req.SetUint16(kind | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		d.t.Fatalf("%s: %v", name, err)
	}
	d.frames[name] = os.NewFile(uintptr(fd), name)
	if mac != "" {
		a, err := net.ParseMAC(mac)
		d.must(err)
		d.must(netlink.LinkSetHardwareAddr(link(d.t, name), a))
	}
	d.change(name, "up")
	d.address(name, address)
}

// add makes an interface that close takes away.
func (d *replayDevices) add(l netlink.Link) {
	d.t.Helper()
	d.must(netlink.LinkAdd(l))
	d.added = append(d.added, l.Attrs().Name)
}

func (d *replayDevices) close() {
	for _, f := range d.frames {
		f.Close()
	}
	for _, name := range d.added {
		d.must(netlink.LinkDel(link(d.t, name)))
	}
	if d.tcp >= 0 {
		// Reset at both ends, so that nothing of it comes later.
		d.must(unix.SetsockoptLinger(d.tcp, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
		unix.Close(d.tcp)
		d.server.Close()
		if c := <-d.client; c != nil {
			c.SetLinger(0)
			c.Close()
		}
	}
}

func (d *replayDevices) change(name, to string) {
	d.t.Helper()
	switch to {
	case "up":
		d.must(netlink.LinkSetUp(link(d.t, name)))
	case "down":
		d.must(netlink.LinkSetDown(link(d.t, name)))
	case "gone":
		d.must(d.frames[name].Close())
	default:
		d.t.Fatalf("an interface cannot be %q", to)
	}
}

func (d *replayDevices) address(name, address string) {
	d.t.Helper()
	a, err := netlink.ParseAddr(address)
	d.must(err)
	d.must(netlink.AddrAdd(link(d.t, name), a))
}

func (d *replayDevices) neighbour(name, address, mac string) {
	d.t.Helper()
	a, err := net.ParseMAC(mac)
	d.must(err)
	d.must(netlink.NeighSet(&netlink.Neigh{
		LinkIndex: link(d.t, name).Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(address), HardwareAddr: a,
	}))
}

// send sends a datagram from this machine.
func (d *replayDevices) send(s step) {
	t := d.t
	t.Helper()
	b, err := decodeBytes(s.fields[3], 0, nil)
	d.must(err)
	c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: s.number(t, 0)})
	d.must(err)
	defer c.Close()
	_, err = c.WriteToUDP(b, &net.UDPAddr{IP: net.ParseIP(s.fields[1]), Port: s.number(t, 2)})
	d.must(err)
}

// frame wants the next frame that leaves by an interface, or none.
func (d *replayDevices) frame(s step) {
	t := d.t
	t.Helper()
	wait := 2 * time.Millisecond
	var want []byte
	if len(s.fields) > 1 {
		var err error
		want, err = decodeBytes(s.fields[1], 0, nil)
		d.must(err)
		wait = patience
	}
	f := d.frames[s.fields[0]]
	d.must(f.SetReadDeadline(time.Now().Add(wait)))
	b := make([]byte, 4096)
	n, err := f.Read(b)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if n > 14 && len(want) > 14 {
		copy(b[14:], withoutIdent(b[14:n], want[14:]))
	}
	if !bytes.Equal(b[:n], want) {
		t.Errorf("frame\n% x, want\n% x", b[:n], want)
	}
}

// withoutIdent returns an IPv4 packet as it would be if the sender had not given
// it an identification, where none is wanted: Linux 3.4 did not number packets
// that must not be fragmented.
func withoutIdent(got, want []byte) []byte {
	const ident, sum = 4, 10
	if len(got) < 20 || len(want) < 20 || want[ident] != 0 || want[ident+1] != 0 || checksum(got[:20]) != 0 {
		return got
	}
	got = bytes.Clone(got)
	clear(got[ident:][:2])
	clear(got[sum:][:2])
	binary.BigEndian.PutUint16(got[sum:], checksum(got[:20]))
	return got
}

// stream is a TCP connection from this machine to itself.
func (d *replayDevices) stream(s step) {
	t := d.t
	t.Helper()
	switch s.fields[0] {
	case "connect":
		var err error
		d.server, err = net.Listen("tcp4", "127.0.0.1:"+s.fields[1])
		d.must(err)
		d.client = make(chan *net.TCPConn, 1)
		go d.serve()
		d.tcp, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		d.must(err)
		d.must(unix.SetsockoptInt(d.tcp, unix.IPPROTO_TCP, unix.TCP_MAXSEG, s.number(t, 2)))
		if err := unix.Connect(d.tcp, &unix.SockaddrInet4{Port: s.number(t, 1), Addr: [4]byte{127, 0, 0, 1}}); err != unix.EINPROGRESS {
			t.Fatalf("connect: %v", err)
		}
	case "write":
		size := s.number(t, 1)
		if n, err := unix.Write(d.tcp, make([]byte, size)); n != size {
			t.Fatalf("write: %d, %v", n, err)
		}
	case "close":
		d.must(unix.Shutdown(d.tcp, unix.SHUT_WR)) // the end of it is left for close
	}
}

// serve accepts one client and reads what it sends.
func (d *replayDevices) serve() {
	defer close(d.client)
	c, err := d.server.Accept()
	if err != nil {
		return
	}
	d.client <- c.(*net.TCPConn)
	for b := make([]byte, 4096); err == nil; {
		_, err = c.Read(b)
	}
}
