package ipqueue_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/ipqueue"
	"ipq/rules"
)

// TestReplay holds the handler against the recordings, with real packets through
// the kernel's queue 0, to which -j QUEUE and NFQUEUE lead.
func TestReplay(t *testing.T) {
	sandbox.RequireNamespaces(t)
	t.Run("iptables", func(t *testing.T) { testReplay(t, iptablesRules(t)) })
	t.Run("nftables", func(t *testing.T) { testReplay(t, nftablesRules(t)) })
}

// replayRules are the rules of testdata/README.md. change deletes or inserts the
// one of a port; it is nil where that cannot be done to one rule alone.
type replayRules struct {
	change func(t *testing.T, family uint8, insert bool, port string)
	mark   bool // the sender marks its packets for 7004 itself
}

func testReplay(t *testing.T, rules replayRules) {
	h, err := ipqueue.Open(ipqueue.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	cases := recordedCases(t)
	for _, r := range recordings(t) {
		t.Run(r.name, func(t *testing.T) {
			n := newTestNet(t, r.family)
			n.mark = rules.mark
			for _, c := range r.cases {
				if why := cases[r.name][c.name]; why != "" {
					t.Logf("%s: not as recorded: %s", c.name, why)
					continue
				}
				if rules.change == nil && slices.ContainsFunc(c.steps, func(s step) bool { return s.verb == "rule" }) {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					newReplay(t, h, n, rules, r).run(c)
				})
			}
		})
	}
}

func iptablesRules(t *testing.T) replayRules {
	t.Helper()
	t.Setenv("XTABLES_LOCKFILE", filepath.Join(t.TempDir(), "lock")) // the usual place is root's
	tools := map[uint8]string{ipqueue.IPv4: "iptables-legacy", ipqueue.IPv6: "ip6tables-legacy"}
	run := func(t *testing.T, family uint8, rule string) {
		t.Helper()
		if out, err := exec.Command(tools[family], strings.Fields(rule)...).CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v: %s", tools[family], rule, err, out)
		}
	}
	for family, tool := range tools {
		_, err := exec.LookPath(tool)
		sandbox.Require(t, "iptables-legacy", err == nil, "no "+tool+" in PATH; install iptables")
		for _, rule := range []string{
			"-A OUTPUT -p udp --dport 7001 -j QUEUE",
			"-A INPUT -p udp --dport 7002 -j QUEUE",
			"-t mangle -A OUTPUT -p udp --dport 7003 -j QUEUE",
			"-A OUTPUT -p udp --dport 7003 -j QUEUE",
			"-t mangle -A OUTPUT -p udp --dport 7004 -j MARK --set-mark 0x80000001",
			"-A OUTPUT -p udp --dport 7004 -j QUEUE",
			"-t mangle -A PREROUTING -p udp --dport 7005 -j QUEUE",
			"-t mangle -A POSTROUTING -p udp --dport 7006 -j QUEUE",
			"-A OUTPUT -p udp --dport 7007 -j NFQUEUE --queue-num 0", // 7 in the recording, which ip_queue did not mind
			"-A FORWARD -p udp --dport 7100 -j QUEUE",
			"-A INPUT -p udp --dport 7101 -j QUEUE",
			"-t mangle -A PREROUTING -p udp --dport 7102 -j QUEUE",
			"-t mangle -A POSTROUTING -p udp --dport 7103 -j QUEUE",
			"-A OUTPUT -p udp --dport 7104 -j QUEUE",
			"-A OUTPUT -p tcp --dport 7110 -j QUEUE",
		} {
			run(t, family, rule)
		}
		t.Cleanup(func() {
			run(t, family, "-F")
			run(t, family, "-t mangle -F")
		})
	}
	run(t, ipqueue.IPv4, "-A OUTPUT -p icmp --icmp-type echo-request -d 127.0.0.2 -j QUEUE")
	run(t, ipqueue.IPv4, "-A INPUT -p icmp --icmp-type echo-request -d 127.0.0.3 -j QUEUE")
	run(t, ipqueue.IPv6, "-A OUTPUT -p ipv6-icmp --icmpv6-type echo-request -d ::1 -j QUEUE")
	return replayRules{change: func(t *testing.T, family uint8, insert bool, port string) {
		how := map[bool]string{false: "-D", true: "-I"}[insert]
		run(t, family, how+" OUTPUT -p udp --dport "+port+" -j QUEUE")
	}}
}

func nftablesRules(t *testing.T) replayRules {
	t.Helper()
	ports := func(p rules.Protocol, ports ...uint16) rules.Match {
		m := rules.Match{Protocols: []rules.Protocol{p}}
		for _, port := range ports {
			m.DstPorts = append(m.DstPorts, rules.Port(port))
		}
		return m
	}
	ping := func(p rules.Protocol, echo uint8, to string) rules.Match {
		a := netip.MustParseAddr(to)
		return rules.Match{Protocols: []rules.Protocol{p}, ICMPTypes: []uint8{echo}, Dst: []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}}
	}
	chain := func(hook rules.Hook, priority int32, match ...rules.Match) rules.Chain {
		return rules.Chain{Hook: hook, Priority: priority, Match: match}
	}
	feedFrom(t, 0,
		chain(rules.Output, -150, ports(rules.UDP, 7003)),
		chain(rules.Output, 0, ports(rules.UDP, 7001, 7003, 7004, 7007, 7104), ports(rules.TCP, 7110),
			ping(rules.ICMP, 8, "127.0.0.2"), ping(rules.ICMPv6, 128, "::1")),
		chain(rules.Input, 0, ports(rules.UDP, 7002, 7101), ping(rules.ICMP, 8, "127.0.0.3")),
		chain(rules.Forward, 0, ports(rules.UDP, 7100)),
		chain(rules.Prerouting, -150, ports(rules.UDP, 7005, 7102)),
		chain(rules.Postrouting, -150, ports(rules.UDP, 7006, 7103)))
	return replayRules{mark: true}
}

// testNet sends UDP through lo and sees what arrives.
type testNet struct {
	family uint8
	host   string
	source *net.UDPConn
	sinks  map[string]*net.UDPConn
	used   string // the port that was sent to last
	mark   bool   // packets to 7004 are marked here
}

func (n *testNet) close() {
	n.source.Close()
	for _, c := range n.sinks {
		c.Close()
	}
}

func newTestNet(t testing.TB, family uint8) *testNet {
	t.Helper()
	n := &testNet{family: family, host: "127.0.0.1", sinks: map[string]*net.UDPConn{}}
	if family == ipqueue.IPv6 {
		n.host = "::1"
	}
	n.source = n.listen(t, n.host, "5555")
	for _, port := range []int{7001, 7002, 7003, 7004, 7005, 7006, 7007, 7101, 7102} {
		n.sinks[strconv.Itoa(port)] = n.listen(t, "", strconv.Itoa(port))
	}
	return n
}

func (n *testNet) listen(t testing.TB, host, port string) *net.UDPConn {
	t.Helper()
	network := map[uint8]string{ipqueue.IPv4: "udp4", ipqueue.IPv6: "udp6"}[n.family]
	a, err := net.ResolveUDPAddr(network, net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP(network, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

const alphabet = "abcdefghijklmnopqrstuvwxyz"

func (n *testNet) send(t testing.TB, port string, size int) {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", net.JoinHostPort(n.host, port))
	if err != nil {
		t.Fatal(err)
	}
	n.used = port
	if n.mark {
		n.setMark(t, map[bool]int{true: 0x80000001 - 1<<32}[port == "7004"])
	}
	if _, err := n.source.WriteToUDP([]byte(strings.Repeat(alphabet, size/26+1)[:size]), a); err != nil {
		t.Fatalf("sending %d bytes to port %s: %v", size, port, err)
	}
}

func (n *testNet) setMark(t testing.TB, mark int) {
	t.Helper()
	raw, err := n.source.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
				t.Errorf("SO_MARK: %v", err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// arrived returns the size of the datagram that has come to the port used last,
// -1 when there is none.
func (n *testNet) arrived(t testing.TB, wait time.Duration) int {
	t.Helper()
	b := make([]byte, 65536)
	c := n.sinks[n.used]
	if c == nil {
		return -1
	}
	c.SetReadDeadline(time.Now().Add(wait))
	size, err := c.Read(b)
	if err != nil {
		return -1
	}
	return size
}

// replay is one case.
type replay struct {
	t         *testing.T
	h         *ipqueue.Handler
	net       *testNet
	rules     replayRules
	recording recording
	programs  map[string]*program
	ids       map[string]uint64
	base      ipqueue.FamilyStatus // at the last proc, or at the beginning
	user      int
	devices   *replayDevices // of a case that begins with "devices"
	second    *replay        // what is done with the other family
}

func newReplay(t *testing.T, h *ipqueue.Handler, n *testNet, rules replayRules, r recording) *replay {
	p := &replay{t: t, h: h, net: n, rules: rules, recording: r, programs: map[string]*program{}, ids: map[string]uint64{}}
	p.base = status(h, r.family)
	return p
}

func (p *replay) run(c recorded) {
	defer p.end()
	for _, s := range c.steps {
		p.step(s)
		if p.t.Failed() {
			p.t.Fatalf("at line %d: %s", s.line, s.text)
		}
	}
}

// end puts everything back as it was.
func (p *replay) end() {
	for _, prog := range p.programs {
		prog.close()
	}
	if p.second != nil {
		p.second.end()
	}
	p.setMaxLen(ipqueue.DefaultMaxLen)
	p.await("the peer has left", func(s ipqueue.FamilyStatus) bool { return s.PeerPID == 0 && s.Length == 0 && s.Programs == 0 })
	if p.devices != nil {
		p.devices.close()
		p.settled() // what leaves with them is no packet of the next case
	}
	for p.net.arrived(p.t, 0) >= 0 {
	}
}

func (p *replay) setMaxLen(n uint32) { p.h.SetMaxLen(p.recording.family, n) }

func (p *replay) await(what string, ok func(ipqueue.FamilyStatus) bool) {
	p.t.Helper()
	await(p.t, p.h, p.recording.family, what, ok)
}

func (p *replay) settled() {
	p.t.Helper()
	settled(p.t, p.h, 0)
}

// waiting is how many packets the kernel has in a queue.
func waiting(t testing.TB, queue int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
	if err != nil {
		t.Fatal(err)
	}
	table, err := wire.ParseQueueTable(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range table {
		if int(q.Number) == queue {
			return int(q.Waiting)
		}
	}
	t.Fatalf("queue %d is not bound", queue)
	return 0
}

func (p *replay) step(s step) {
	t := p.t
	t.Helper()
	switch s.verb {
	case "open":
		port := s.number(t, 0)
		p.programs[s.fields[0]] = connect(t, p.h, p.recording.family, p.recording.layout, uint32(port))
	case "close":
		p.programs[s.fields[0]].close()
		delete(p.programs, s.fields[0])
		p.await("the socket is closed", func(f ipqueue.FamilyStatus) bool { return f.Programs == len(p.programs) })
	case "user":
		p.user = s.number(t, 0)
		sandbox.Require(t, "users", p.user == 0 || mapped(p.user), "the user namespace has one user only; run as root")
	case "maxlen":
		p.settled()
		p.setMaxLen(uint32(s.number(t, 0)))
	case "rule":
		p.rules.change(t, p.recording.family, s.fields[0] == "+", s.fields[1])
	case "udp":
		p.net.send(t, s.fields[0], s.number(t, 1))
	case ">":
		b, err := s.datagram(p.recording.layout, p.ids)
		if err != nil {
			t.Fatal(err)
		}
		p.send(p.programs[s.fields[0]], s, b)
	case "<":
		p.receive(s)
	case "quiet":
		p.settled()
		p.programs[s.fields[0]].fence()
	case "sink":
		p.sink(s)
	case "proc":
		p.proc(s)
	case "then": // but not now
	case "today":
		p.step(newStep(s.line, s.text, strings.Fields(s.text)[1:]))
	case "other":
		if p.second == nil {
			p.second = newReplay(t, p.h, p.net, p.rules, p.recording.other())
		}
		p.second.step(newStep(s.line, s.text, strings.Fields(s.text)[1:]))
	default:
		if !p.socketStep(s) && !p.deviceStep(s) {
			t.Fatalf("unknown step %q", s.verb)
		}
	}
}

// mapped reports whether a user has a number in this user namespace.
func mapped(uid int) bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		var inside, outside, n int
		if _, err := fmt.Sscan(line, &inside, &outside, &n); err == nil && uid >= inside && uid < inside+n {
			return true
		}
	}
	return false
}

func (p *replay) receive(s step) {
	t, prog := p.t, p.programs[s.fields[0]]
	t.Helper()
	port := prog.port
	if text, ok := s.option["pid"]; ok {
		n, _ := strconv.Atoi(text)
		port = uint32(n)
	}
	switch s.fields[1] {
	case "ack":
		p.want(prog, wire.AppendIPQError(nil, 0, port, prog.last))
	case "nack":
		errno := map[string]unix.Errno{"EPERM": unix.EPERM, "ENOENT": unix.ENOENT, "EBUSY": unix.EBUSY, "EINVAL": unix.EINVAL, "ECOMM": unix.ECOMM}[s.fields[2]]
		h, err := wire.DecodeIPQHeader(prog.last)
		if err != nil {
			t.Fatal(err)
		}
		want := wire.AppendIPQError(nil, int32(errno), port, prog.last[:h.Len])
		if size := s.number(t, 3); len(want) != size {
			t.Fatalf("the answer would have %d bytes, want %d", len(want), size)
		}
		p.want(prog, want)
	case "packet":
		p.packet(s, prog)
	}
}

func (p *replay) want(prog *program, want []byte) {
	p.t.Helper()
	if got := prog.receive(); !bytes.Equal(got, want) {
		p.t.Fatalf("received\n% x, want\n% x", got[:min(len(got), 200)], want[:min(len(want), 200)])
	}
}

func (p *replay) packet(s step, prog *program) {
	t := p.t
	t.Helper()
	m, payload := prog.wantPacket()
	size := wire.IPQHeaderSize + prog.layout.PacketSize() + wire.IPQAlign(len(payload))
	got := fmt.Sprintf("%d hook=%d data=%d", size, m.Hook, m.DataLen)
	want := fmt.Sprintf("%s hook=%s data=%s", s.fields[3], s.option["hook"], s.option["data"])
	if got != want {
		t.Errorf("packet %s, want %s", got, want)
	}
	mark, _ := strconv.ParseUint(s.option["mark"], 0, 64)
	if m.Mark != mark {
		t.Errorf("mark %#x, want %#x", m.Mark, mark)
	}
	if in, out := cString(m.In[:]), cString(m.Out[:]); in != s.option["in"] || out != s.option["out"] {
		t.Errorf("devices %q and %q, want %q and %q", in, out, s.option["in"], s.option["out"])
	}
	// Today's queue knows the protocol always; ip_queue did not where packets are
	// born.
	proto := fmt.Sprintf("%04x", m.HWProtocol)
	if want := s.option["proto"]; proto != want && (want != "0000" || proto != map[uint8]string{2: "0800", 10: "86dd"}[p.recording.family]) {
		t.Errorf("hw_protocol %s, want %s", proto, want)
	}
	hw := ""
	if m.HWType != 0 || m.HWAddrLen != 0 {
		hw = fmt.Sprintf("%d,%d,%x", m.HWType, m.HWAddrLen, m.HWAddr)
	}
	if hw != s.option["hw"] {
		t.Errorf("link layer %q, want %q", hw, s.option["hw"])
	}
	if text, ok := s.option["bytes"]; ok {
		want, err := decodeBytes(text, prog.layout, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(withoutIdent(payload, want), want) {
			t.Errorf("payload\n% x, want\n% x", payload, want)
		}
	}
	// Never 0, where ip_queue's was, and some programs broke on it.
	if age := time.Since(time.Unix(m.Sec, m.Usec*1000)); age < -time.Second || age > time.Minute {
		t.Errorf("the packet is %v old", age)
	}
	if m.ID == 0 || m.ID == unknownID {
		t.Errorf("id %d", m.ID)
	}
	p.ids[s.fields[2]] = m.ID
}

func (p *replay) sink(s step) {
	p.t.Helper()
	p.settled()
	if len(s.fields) == 0 {
		if n := p.net.arrived(p.t, 2*time.Millisecond); n >= 0 {
			p.t.Errorf("%d bytes arrived, want nothing", n)
		}
		return
	}
	if n := p.net.arrived(p.t, patience); n != s.number(p.t, 0) {
		p.t.Errorf("%d bytes arrived, want %s", n, s.fields[0])
	}
}

func (p *replay) proc(s step) {
	p.t.Helper()
	p.settled()
	var last ipqueue.FamilyStatus
	p.await("the state is "+s.text, func(f ipqueue.FamilyStatus) bool {
		last = f
		state := fmt.Sprintf("%d %d %d %d %d", f.PeerPID, f.CopyMode, f.CopyRange, f.Length, f.MaxLength)
		if state != strings.Join(s.fields[:5], " ") {
			return false
		}
		drops := fmt.Sprintf("%d %d", f.QueueDropped-p.base.QueueDropped, f.NetlinkDropped-p.base.NetlinkDropped)
		return s.fields[5] == "?" || drops == strings.Join(s.fields[5:], " ")
	})
	p.base = last
}
