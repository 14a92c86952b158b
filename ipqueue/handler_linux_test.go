package ipqueue_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/ipqueue"
	"ipq/rules"
)

// open starts a handler for the length of the test.
func open(t testing.TB, c ipqueue.Config) *ipqueue.Handler {
	t.Helper()
	sandbox.RequireNamespaces(t)
	h, err := ipqueue.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// feed installs a rule that sends UDP to port 7001 at OUTPUT to a queue.
func feed(t testing.TB, queue uint16, family rules.Family) *rules.Table {
	t.Helper()
	return feedFrom(t, queue, rules.Chain{Hook: rules.Output, Match: []rules.Match{{
		Family: family, Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(7001)},
	}}})
}

func feedFrom(t testing.TB, queue uint16, chains ...rules.Chain) *rules.Table {
	t.Helper()
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: queue}, Chains: chains})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

// await waits until the state of a family is as it should be.
func await(t testing.TB, h *ipqueue.Handler, family uint8, what string, ok func(ipqueue.FamilyStatus) bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(status(h, family)); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s:\n%v", what, status(h, family))
		}
	}
}

func status(h *ipqueue.Handler, family uint8) ipqueue.FamilyStatus {
	if family == ipqueue.IPv6 {
		return h.Status().IPv6
	}
	return h.Status().IPv4
}

// settled waits until the kernel's queue holds just what the handler holds, and
// the programs have been sent it.
func settled(t testing.TB, h *ipqueue.Handler, queue int) {
	t.Helper()
	await(t, h, ipqueue.IPv4, "kernel and handler agree", func(ipqueue.FamilyStatus) bool {
		s := h.Status()
		return waiting(t, queue) == int(s.IPv4.Length+s.IPv6.Length)
	})
	h.Settle()
}

// The life of a peer: it comes, takes packets, and leaves with some of them, also
// some that it has not read, while its last verdict is still on the way.
func TestPeerLeaves(t *testing.T) {
	for _, layout := range layouts {
		h := open(t, ipqueue.Config{})
		table := feed(t, 0, rules.IPv4)
		n := newTestNet(t, ipqueue.IPv4)
		p := connect(t, h, ipqueue.IPv4, layout, 700)
		p.setMode(wire.IPQCopyPacket, 0)
		for size := 1; size <= 4; size++ {
			n.send(t, "7001", size)
		}
		first, _ := p.wantPacket()
		second, _ := p.wantPacket()
		await(t, h, ipqueue.IPv4, "four packets wait", func(s ipqueue.FamilyStatus) bool { return s.Length == 4 })
		p.verdict(second.ID, wire.IPQVerdictAccept, nil)
		p.verdict(first.ID, wire.IPQVerdictAccept, nil)
		p.close()
		await(t, h, ipqueue.IPv4, "the slot is free", func(s ipqueue.FamilyStatus) bool {
			return s.PeerPID == 0 && s.CopyMode == 0 && s.CopyRange == 0 && s.Length == 0 && s.Programs == 0
		})
		settled(t, h, 0)
		// The two arrived, and nothing of the other two.
		if one, other := n.arrived(t, patience), n.arrived(t, patience); one+other != 3 {
			t.Errorf("%d and %d bytes arrived, want 1 and 2", one, other)
		}
		if got := n.arrived(t, 2*time.Millisecond); got >= 0 {
			t.Errorf("%d bytes arrived of a packet that was not answered", got)
		}
		// The next one finds an empty queue, and nothing of what was.
		p = connect(t, h, ipqueue.IPv4, layout, 701)
		p.setMode(wire.IPQCopyMeta, 0)
		p.fence()
		n.close()
		h.Close()
		table.Close()
	}
}

// Both families at once, from one queue, and from a queue each.
func TestFamilies(t *testing.T) {
	for _, config := range []ipqueue.Config{{}, {Queue4: 4, Queue6: 6}} {
		h := open(t, config)
		table4, table6 := feed(t, config.Queue4, rules.IPv4), feed(t, config.Queue6, rules.IPv6)
		n4, n6 := newTestNet(t, ipqueue.IPv4), newTestNet(t, ipqueue.IPv6)
		p4 := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
		p6 := connect(t, h, ipqueue.IPv6, wire.IPQ32, 700)
		p4.setMode(wire.IPQCopyPacket, 0)
		p6.setMode(wire.IPQCopyMeta, 0)
		for round := range 3 {
			n4.send(t, "7001", 10+round)
			n6.send(t, "7001", 20+round)
			m4, payload := p4.wantPacket()
			m6, none := p6.wantPacket()
			if payload[0]>>4 != 4 || len(payload) != 20+8+10+round || len(none) != 0 || m4.HWProtocol != 0x0800 || m6.HWProtocol != 0x86dd {
				t.Errorf("packets %+v with %d bytes, and %+v with %d", m4, len(payload), m6, len(none))
			}
			if round == 1 {
				// NF_QUEUE leads back to the queue that the packet came out of.
				p4.verdict(m4.ID, wire.IPQVerdictQueue, nil)
				p6.verdict(m6.ID, wire.IPQVerdictQueue, nil)
				m4, _ = p4.wantPacket()
				m6, _ = p6.wantPacket()
			}
			p4.verdict(m4.ID, wire.IPQVerdictAccept, nil)
			p6.verdict(m6.ID, wire.IPQVerdictAccept, nil)
			if got4, got6 := n4.arrived(t, patience), n6.arrived(t, patience); got4 != 10+round || got6 != 20+round {
				t.Errorf("round %d: %d and %d bytes arrived", round, got4, got6)
			}
		}
		p4.fence()
		p6.fence()
		table4.Close()
		table6.Close()
		n4.close()
		n6.close()
		h.Close()
	}
}

// The kernel may lose packets without a word: when a base chain is deleted, for
// one. Their verdicts are answered as ip_queue answered unknown ids, with the
// whole message.
func TestVerdictForALostPacket(t *testing.T) {
	for _, layout := range layouts {
		h := open(t, ipqueue.Config{})
		table := feed(t, 0, rules.IPv4)
		n := newTestNet(t, ipqueue.IPv4)
		p := connect(t, h, ipqueue.IPv4, layout, 700)
		p.setMode(wire.IPQCopyPacket, 0)
		n.send(t, "7001", 100)
		n.send(t, "7001", 101)
		first, payload := p.wantPacket()
		payload = bytes.Clone(payload)
		second, _ := p.wantPacket()
		table.Close()
		if left := waiting(t, 0); left != 0 {
			t.Fatalf("%d packets wait after their chain is gone", left)
		}
		v := wire.IPQVerdict{Value: wire.IPQVerdictAccept, ID: first.ID, DataLen: uint64(len(payload)), Payload: payload}
		request := p.message(wire.IPQTypeVerdict, wire.IPQFlagRequest, layout.AppendVerdict(nil, v))
		p.send(request)
		if e := p.wantReply(unix.ENOENT); !bytes.Equal(e.Request, request) {
			t.Errorf("the answer repeats % x, want % x", e.Request, request)
		}
		p.verdict(second.ID, wire.IPQVerdictDrop, nil)
		p.wantReply(unix.ENOENT)
		p.verdict(second.ID, wire.IPQVerdictDrop, nil) // now it is the handler that does not know it
		p.wantReply(unix.ENOENT)
		p.fence()
		n.close()
		h.Close()
	}
}

// What a program that stalls loses is its own: another family's program does not
// notice, and when the program has read everything it goes on.
func TestStalledPeer(t *testing.T) {
	h := open(t, ipqueue.Config{MaxLen: 1 << 20})
	feed(t, 0, 0)
	n4, n6 := newTestNet(t, ipqueue.IPv4), newTestNet(t, ipqueue.IPv6)
	stalled := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	stalled.setMode(wire.IPQCopyPacket, 0)
	busy := connect(t, h, ipqueue.IPv6, wire.IPQ64, 701)
	busy.setMode(wire.IPQCopyPacket, 0)
	sent := 0
	for status(h, ipqueue.IPv4).NetlinkDropped == 0 {
		if sent++; sent > 100000 {
			t.Fatal("100,000 packets fit into a program's socket")
		}
		n4.send(t, "7001", 1400)
		if sent%50 == 0 {
			n4.source = n4.listen(t, n4.host, "0") // a socket may only have so many packets on the way
			n6.send(t, "7001", 30)
			m, _ := busy.wantPacket()
			busy.verdict(m.ID, wire.IPQVerdictAccept, nil)
			if got := n6.arrived(t, patience); got != 30 {
				t.Fatalf("%d bytes of the other family arrived", got)
			}
		}
	}
	settled(t, h, 0)
	s := status(h, ipqueue.IPv4)
	if int(s.Length+s.NetlinkDropped) != sent || s.QueueDropped != 0 {
		t.Errorf("of %d packets %d wait and %d were dropped", sent, s.Length, s.NetlinkDropped)
	}
	// As long as it has not read all, it gets nothing new, neither packets nor
	// errors.
	first, _ := stalled.wantPacket()
	n4.send(t, "7001", 10)
	await(t, h, ipqueue.IPv4, "one more is dropped", func(now ipqueue.FamilyStatus) bool { return now.NetlinkDropped == s.NetlinkDropped+1 })
	stalled.verdict(first.ID, 99, nil)
	for range s.Length - 1 {
		stalled.wantPacket()
	}
	// Whether that error was judged before or after the last read decides whether
	// it is lost; what comes next is not.
	stalled.verdict(first.ID, wire.IPQVerdictAccept, nil)
	if got := n4.arrived(t, patience); got != 1400 {
		t.Errorf("%d bytes arrived, want 1400", got)
	}
	n4.send(t, "7001", 11)
	for {
		b := stalled.receive()
		if m, _, err := stalled.layout.DecodePacket(b); err == nil && m.DataLen == 20+8+11 {
			break
		}
		if e, err := wire.DecodeIPQError(b); err != nil || e.Errno != int32(unix.EINVAL) {
			t.Fatalf("received % x", b[:min(len(b), 64)])
		}
	}
}

// The longest queue counts for each family by itself.
func TestMaxLen(t *testing.T) {
	h := open(t, ipqueue.Config{MaxLen: 3})
	feed(t, 0, 0)
	n4, n6 := newTestNet(t, ipqueue.IPv4), newTestNet(t, ipqueue.IPv6)
	p4 := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p6 := connect(t, h, ipqueue.IPv6, wire.IPQ64, 700)
	p4.setMode(wire.IPQCopyMeta, 0)
	p6.setMode(wire.IPQCopyMeta, 0)
	for range 5 {
		n4.send(t, "7001", 10)
	}
	for range 4 {
		n6.send(t, "7001", 10)
	}
	settled(t, h, 0)
	for _, test := range []struct {
		family  uint8
		dropped uint32
	}{{ipqueue.IPv4, 2}, {ipqueue.IPv6, 1}} {
		await(t, h, test.family, "three wait", func(s ipqueue.FamilyStatus) bool {
			return s.Length == 3 && s.QueueDropped == test.dropped && s.NetlinkDropped == 0
		})
	}
}

// The largest packets: as long as NFQUEUE's messages can be, and longer.
func TestLargePackets(t *testing.T) {
	h := open(t, ipqueue.Config{})
	feed(t, 0, 0)
	for _, family := range []uint8{ipqueue.IPv4, ipqueue.IPv6} {
		n := newTestNet(t, family)
		p := connect(t, h, family, wire.IPQ64, 700)
		p.setMode(wire.IPQCopyPacket, 0)
		header := map[uint8]int{ipqueue.IPv4: 28, ipqueue.IPv6: 48}[family]
		for _, size := range []int{1472, 16000, 65531 - header, 65532 - header, 65507} {
			n.send(t, "7001", size)
			m, payload := p.wantPacket()
			if want := min(header+size, 65531); len(payload) != want {
				t.Errorf("a packet of %d bytes shows %d, want %d", header+size, len(payload), want)
			}
			if header+size > 65531 {
				p.verdict(m.ID, wire.IPQVerdictAccept, nil) // sent back as it is, it would be cut
			} else {
				p.verdict(m.ID, wire.IPQVerdictAccept, bytes.Clone(payload))
			}
			if got := n.arrived(t, patience); got != size {
				t.Errorf("%d bytes arrived, want %d", got, size)
			}
		}
		n.close()
	}
}

// TCP arrives in segments that fit the link, and gets through.
func TestTCP(t *testing.T) {
	netw := sandbox.Setup(t, 2)
	h := open(t, ipqueue.Config{})
	feedFrom(t, 0, rules.Chain{Hook: rules.Forward})
	for _, family := range []uint8{ipqueue.IPv4, ipqueue.IPv6} {
		p := connect(t, h, family, wire.IPQ64, 700)
		p.setMode(wire.IPQCopyPacket, 0)
		to := netw.Hosts[1].IPv4
		if family == ipqueue.IPv6 {
			to = netw.Hosts[1].IPv6
		}
		answered := make(chan bool, 1)
		go func() {
			e := sandbox.Exchange{Protocol: sandbox.HTTP, From: netw.Hosts[0], To: netw.Hosts[1], IPv6: family == ipqueue.IPv6, Name: "passed"}
			result, err := e.Do()
			netw.Hosts[0].Do(func() error { // ends the loop below
				c, err := net.Dial("udp", net.JoinHostPort(to.String(), "7009"))
				if err != nil {
					return err
				}
				defer c.Close()
				_, err = c.Write([]byte("end"))
				return err
			})
			answered <- result.Answered && err == nil
		}()
		segments := 0
		for {
			m, payload := p.wantPacket()
			if len(payload) > 1500 {
				t.Errorf("a packet of %d bytes on a link of 1500", len(payload))
			}
			p.verdict(m.ID, wire.IPQVerdictAccept, nil)
			if bytes.HasSuffix(payload, []byte("end")) {
				break
			}
			segments++
		}
		if ok := <-answered; !ok || segments < 6 {
			t.Errorf("family %d: answered %v after %d segments", family, ok, segments)
		}
	}
}

// A socket that was duplicated, or inherited, is released by the last close.
func TestLastClose(t *testing.T) {
	h := open(t, ipqueue.Config{})
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyMeta, 0)
	fd, err := unix.FcntlInt(uintptr(p.fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	again := newProgram(t, os.NewFile(uintptr(fd), "duplicate"), wire.IPQ64, 700)
	p.close()
	again.fence()
	if s := status(h, ipqueue.IPv4); s.PeerPID != 700 {
		t.Errorf("the first close released the slot: %+v", s)
	}
	again.close()
	await(t, h, ipqueue.IPv4, "the last close releases the slot", func(s ipqueue.FamilyStatus) bool { return s.PeerPID == 0 })
}

// A handler that is closed, or killed, is an end of file for its programs; the
// queue is free at once.
func TestClose(t *testing.T) {
	h := open(t, ipqueue.Config{})
	if _, err := ipqueue.Open(ipqueue.Config{}); !errors.Is(err, ipq.ErrQueueBusy) {
		t.Fatalf("a second handler: %v, want ErrQueueBusy", err)
	}
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyMeta, 0)
	n.send(t, "7001", 10)
	p.wantPacket()
	stopped := make(chan error, 1)
	go func() { stopped <- h.Wait() }()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Wait: %v", err)
	}
	if got, _ := recvfrom(t, p.fd, p.buf, 0); got != 0 {
		t.Errorf("the program received %d bytes, want an end of file", got)
	}
	if _, err := h.Connect(ipqueue.Hello{Family: ipqueue.IPv4}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Connect: %v, want ErrClosed", err)
	}
	again := open(t, ipqueue.Config{})
	if got := n.arrived(t, 2*time.Millisecond); got >= 0 {
		t.Errorf("%d bytes arrived", got)
	}
	again.Close()
}

func TestOpenNeedsPrivilege(t *testing.T) {
	sandbox.RequireNamespaces(t)
	sandbox.Require(t, "users", mapped(65534), "the user namespace has one user only; run as root")
	failed := make(chan error)
	go asUser(65534, func() {
		_, err := ipqueue.Open(ipqueue.Config{})
		failed <- err
	})
	if err := <-failed; !errors.Is(err, fs.ErrPermission) {
		t.Errorf("as nobody: %v, want ErrPermission", err)
	}
}

func TestConnectRefuses(t *testing.T) {
	h := open(t, ipqueue.Config{})
	for _, hello := range []ipqueue.Hello{
		{Family: 0, WordSize: 64}, {Family: 7, WordSize: 64}, {Family: 2, WordSize: 16}, {Family: 2, WordSize: 64, PID: -1},
	} {
		if f, err := h.Connect(hello); err == nil {
			t.Errorf("Connect(%+v) succeeded", hello)
			f.Close()
		}
	}
	if f, err := h.Connect(ipqueue.Hello{Family: ipqueue.IPv6}); err != nil {
		t.Errorf("without a word size: %v", err)
	} else {
		f.Close()
	}
}

// A program without a port, as one that is not bound to any, is answered as the
// one it says it is, and gets the packets.
func TestPortOfAnUnboundSocket(t *testing.T) {
	h := open(t, ipqueue.Config{})
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 0)
	p.port = 4711
	p.verdict(1, 99, nil)
	if e := p.wantReply(unix.EINVAL); e.PID != 4711 {
		t.Errorf("the error is for port %d", e.PID)
	}
	p.setMode(wire.IPQCopyMeta, 0)
	n.send(t, "7001", 10)
	p.wantPacket()
}

// The text of /proc/net/ip_queue.
func TestStatusText(t *testing.T) {
	s := ipqueue.FamilyStatus{Family: ipqueue.IPv4, PeerPID: 700, CopyMode: 2, CopyRange: 64, Length: 1, MaxLength: 1024, QueueDropped: 2, NetlinkDropped: 3}
	want := "Peer PID          : 700\nCopy mode         : 2\nCopy range        : 64\nQueue length      : 1\n" +
		"Queue max. length : 1024\nQueue dropped     : 2\nNetlink dropped   : 3\n"
	if s.String() != want {
		t.Errorf("got\n%swant\n%s", s, want)
	}
	s.Family = ipqueue.IPv6
	if want = strings.Replace(want, "Netlink dropped   ", "Netfilter dropped ", 1); fmt.Sprint(s) != want {
		t.Errorf("got\n%swant\n%s", s, want)
	}
}

// No packet costs memory.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	h := open(t, ipqueue.Config{})
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyPacket, 0)
	if err := unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
		t.Fatal(err) // a packet that does not come is a failure, not a hang
	}
	request := p.message(wire.IPQTypeVerdict, wire.IPQFlagRequest, p.layout.AppendVerdict(nil, wire.IPQVerdict{Value: wire.IPQVerdictDrop}))
	source, err := n.source.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: 7001, Addr: [4]byte{127, 0, 0, 1}}
	body := make([]byte, 64)
	// Packets that wait for their verdict fill the sender's buffer: wait for room.
	send := func(fd uintptr) bool { return unix.Sendto(int(fd), body, 0, to) != unix.EAGAIN }
	round := func() {
		for range 10 {
			source.Write(send)
		}
		for range 10 {
			if size, err := unix.Read(p.fd, p.buf); err != nil || size != 16+96+92 {
				t.Fatalf("read %d bytes, %v", size, err)
			}
			copy(request[24:32], p.buf[16:24])
			unix.Write(p.fd, request)
		}
	}
	for range 50 {
		round()
	}
	settled(t, h, 0)
	if per := testing.AllocsPerRun(100, round) / 10; per >= 0.1 {
		t.Errorf("%.2f allocations per packet", per)
	}
}
