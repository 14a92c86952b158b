package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	nearAddress, farAddress = "10.9.0.1", "10.9.0.2"
	tcpPort                 = 4001
	tcpWarmUp               = 500 * time.Millisecond
	tcpTime                 = time.Second
	tcpChunk                = 256 << 10
)

// congestionControl is what the sender uses. BBR, the default of some machines, bounds what is in flight by the shortest round
// trip that it has seen, and over a link without length that holds any queued flow back more than its reader does.
const congestionControl = "reno"

// bulk receives one TCP flow over a veth pair with an MTU of 1500, its segments queued on INPUT or not.
func bulk(a *arena, c contestant, _ int) (values, error) {
	if a.far == nil {
		far, err := newFarHost()
		if err != nil {
			return nil, fmt.Errorf("making a second host: %w", err)
		}
		a.far = far
	}
	rules := ruleset{}
	if c.reader != noReader {
		rules = ruleset{protocol: unix.IPPROTO_TCP, port: tcpPort, queues: 1, deliver: true}
	}
	if err := a.apply(rules); err != nil {
		return nil, err
	}
	if c.reader != noReader {
		p, err := a.startUsual(c)
		if err != nil {
			return nil, err
		}
		defer p.stop()
	}
	bytes, wall, err := a.far.receive()
	return values{"throughput": float64(bytes) * 8 / wall.Seconds() / 1e9}, err
}

// A farHost is a process in a network namespace of its own, on the other end of a veth pair, that sends when told to.
type farHost struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	listener *net.TCPListener
}

func newFarHost() (*farHost, error) {
	cmd := exec.Command("/proc/self/exe", "tcp-send")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(cmd, nil); err != nil {
		return nil, err
	}
	f := &farHost{cmd: cmd, in: in}
	if err := joinHosts(cmd.Process.Pid); err != nil {
		f.close()
		return nil, err
	}
	f.listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(nearAddress), Port: tcpPort})
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *farHost) close() {
	if f.listener != nil {
		f.listener.Close()
	}
	f.in.Close()
	f.cmd.Process.Kill()
	f.cmd.Wait()
}

// joinHosts makes a veth pair between this namespace and a process's.
func joinHosts(pid int) error {
	const near, far = "bench0", "bench1"
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: far, PeerNamespace: netlink.NsPid(pid)}
	veth.Name, veth.MTU, veth.PeerMTU = near, 1500, 1500
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	here, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer here.Close()
	ns, err := netns.GetFromPid(pid)
	if err != nil {
		return err
	}
	defer ns.Close()
	there, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer there.Close()
	if err := configure(here, near, nearAddress); err != nil {
		return err
	}
	return configure(there, far, farAddress)
}

func configure(h *netlink.Handle, name, address string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(address + "/24")
	if err != nil {
		return err
	}
	if err := h.AddrAdd(link, addr); err != nil {
		return err
	}
	return h.LinkSetUp(link)
}

// receive has the far host send, and counts what arrives once the flow has got going.
func (f *farHost) receive() (bytes int, wall time.Duration, err error) {
	if _, err := io.WriteString(f.in, "send\n"); err != nil {
		return 0, 0, err
	}
	if err := f.listener.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, 0, err
	}
	conn, err := f.listener.Accept()
	if err != nil {
		return 0, 0, fmt.Errorf("no connection came through the queue: %w", err)
	}
	defer conn.Close()
	buf := make([]byte, tcpChunk)
	began := time.Now()
	if err := conn.SetDeadline(began.Add(tcpWarmUp + tcpTime + 5*time.Second)); err != nil {
		return 0, 0, err
	}
	for time.Since(began) < tcpWarmUp {
		if _, err := conn.Read(buf); err != nil {
			return 0, 0, fmt.Errorf("the flow stalled: %w", err)
		}
	}
	began = time.Now()
	for wall < tcpTime {
		n, err := conn.Read(buf)
		if err != nil {
			return 0, 0, fmt.Errorf("the flow stalled: %w", err)
		}
		bytes += n
		wall = time.Since(began)
	}
	return bytes, wall, nil
}

// runTCPSend is the far host's process: for each line it sends until the receiver hangs up.
func runTCPSend() error {
	buf := make([]byte, tcpChunk)
	dialer := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) (err error) {
		refused := c.Control(func(fd uintptr) {
			err = os.NewSyscallError("setsockopt(TCP_CONGESTION)", unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestionControl))
		})
		return cmp.Or(refused, err)
	}}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		conn, err := dialer.Dial("tcp4", fmt.Sprint(nearAddress, ":", tcpPort))
		if err != nil {
			return fmt.Errorf("the far host: %w", err)
		}
		for err == nil {
			_, err = conn.Write(buf)
		}
		conn.Close()
	}
	return nil
}
