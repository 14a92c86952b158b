package ipq_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// open opens a queue for the length of the test.
func open(t *testing.T, c ipq.Config) *ipq.Queue {
	t.Helper()
	sandbox.RequireNamespaces(t)
	q, err := ipq.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

// serve runs h until the test ends, or until stop is called.
func serve(t *testing.T, q *ipq.Queue, h ipq.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background()) // the test's own ends before what is cleaned up in front of this
	done := make(chan error, 1)
	go func() { done <- q.Serve(ctx, h) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, os.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// feed installs rules for the length of the test.
func feed(t *testing.T, queue uint16, chains ...rules.Chain) {
	t.Helper()
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: queue}, Chains: chains})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func chain(h rules.Hook, m ...rules.Match) rules.Chain { return rules.Chain{Hook: h, Match: m} }

// do runs an exchange between two hosts and says whether its answer came back.
func do(t *testing.T, e sandbox.Exchange) bool {
	t.Helper()
	if e.Timeout == 0 {
		e.Timeout = 200 * time.Millisecond
	}
	r, err := e.Do()
	if err != nil {
		t.Fatal(err)
	}
	return r.Answered
}

var pings = rules.Match{Protocols: []rules.Protocol{rules.ICMP, rules.ICMPv6}}

func TestVerdictsReachTheKernel(t *testing.T) {
	net := sandbox.Setup(t, 2)
	forwarded := sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Hosts[0], To: net.Hosts[1]}
	for _, test := range []struct {
		verdict ipq.Verdict
		passes  bool
	}{
		{ipq.Accept, true},
		{ipq.Drop, false},
		{ipq.Stop, true},
		{ipq.Requeue(901), false},      // nobody listens there
		{ipq.RequeueBypass(901), true}, // nor here, but it does not matter
		{ipq.Requeue(902), true},       // accepted there
	} {
		t.Run(test.verdict.String(), func(t *testing.T) {
			q := open(t, ipq.Config{Queue: 900})
			serve(t, q, func(*ipq.Packet) ipq.Verdict { return test.verdict })
			serve(t, open(t, ipq.Config{Queue: 902}), func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
			feed(t, 900, chain(rules.Forward, pings))
			if got := do(t, forwarded); got != test.passes {
				t.Errorf("the answer came back: %v, want %v; %+v", got, test.passes, q.Stats())
			}
			if s := q.Stats(); s.Received == 0 {
				t.Error("no packet went through the queue")
			}
		})
	}
}

func TestRepeatRunsTheChainAgain(t *testing.T) {
	net := sandbox.Setup(t, 1)
	q := open(t, ipq.Config{Queue: 900})
	var seen []uint32
	stop := serve(t, q, func(p *ipq.Packet) ipq.Verdict {
		seen = append(seen, p.Mark)
		p.SetMark(p.Mark+1, ^uint32(0))
		return ipq.Repeat
	})
	unmarked := pings
	unmarked.Except = []rules.Match{{Mark: 3, MarkMask: ^uint32(0)}}
	feed(t, 900, chain(rules.Output, unmarked))
	if !do(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Router, To: net.Hosts[0]}) {
		t.Error("the packet did not pass after its mark had let it out of the loop")
	}
	stop()
	if want := "[0 1 2]"; fmt.Sprint(seen) != want {
		t.Errorf("the handler saw marks %v, want %s", seen, want)
	}
}

func TestMarkIsSeenByALaterRule(t *testing.T) {
	net := sandbox.Setup(t, 1)
	first, second := open(t, ipq.Config{Queue: 900}), open(t, ipq.Config{Queue: 901})
	serve(t, first, func(p *ipq.Packet) ipq.Verdict {
		p.SetMark(0xffff00aa, 0xff)
		return ipq.Accept
	})
	marks := make(chan uint32, 1)
	serve(t, second, func(p *ipq.Packet) ipq.Verdict {
		if p.Family == ipq.IPv4 { // not the kernel's own reports about multicast groups
			select {
			case marks <- p.Mark:
			default: // one more, such as the ping sent again: a handler must not wait for the test
			}
		}
		return ipq.Accept
	})
	feed(t, 900, chain(rules.Output, pings))
	feed(t, 901, rules.Chain{Hook: rules.Output, Priority: 10, Match: []rules.Match{{Mark: 0xaa, MarkMask: 0xff}}})
	if !do(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Router, To: net.Hosts[0]}) {
		t.Fatal("no answer")
	}
	select {
	case mark := <-marks:
		if mark != 0xaa {
			t.Errorf("the later rule's queue saw mark %#x, want 0xaa: bits outside the mask must stay", mark)
		}
	default:
		t.Error("the rule for the mark did not take the packet")
	}
}

func TestHooksAndFamilies(t *testing.T) {
	net := sandbox.Setup(t, 2)
	link0, link1 := net.Hosts[0].Link, net.Hosts[1].Link
	for _, test := range []struct {
		hook     rules.Hook
		from, to *sandbox.Host
		in, out  string // of the request
	}{
		{rules.Prerouting, net.Hosts[0], net.Router, link0, ""},
		{rules.Input, net.Hosts[0], net.Router, link0, ""},
		{rules.Forward, net.Hosts[0], net.Hosts[1], link0, link1},
		{rules.Output, net.Router, net.Hosts[1], "", link1},
		{rules.Postrouting, net.Hosts[0], net.Hosts[1], link0, link1},
	} {
		for _, ipv6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v ipv6=%v", test.hook, ipv6), func(t *testing.T) {
				if ipv6 && !net.Router.IPv6.IsValid() {
					sandbox.Require(t, "ipv6", false, "the kernel has no IPv6")
				}
				q := open(t, ipq.Config{Queue: 900})
				var mu sync.Mutex
				var requests []string
				serve(t, q, func(p *ipq.Packet) ipq.Verdict {
					mu.Lock()
					defer mu.Unlock()
					if request(p) {
						requests = append(requests, fmt.Sprintf("%v %v %#04x in=%s out=%s", p.Family, p.Hook, p.Protocol, p.InName(), p.OutName()))
						if p.Length != len(p.Payload) || p.Truncated() {
							t.Errorf("length %d, payload %d bytes", p.Length, len(p.Payload))
						}
						if test.in != "" && p.Hook < ipq.Output && len(p.HWAddr) != 6 {
							t.Errorf("link-layer address %x, want one of Ethernet", p.HWAddr)
						}
					}
					return ipq.Accept
				})
				feed(t, 900, chain(test.hook, pings))
				if !do(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: test.from, To: test.to, IPv6: ipv6}) {
					t.Error("no answer")
				}
				mu.Lock()
				defer mu.Unlock()
				family, proto := "ip", 0x0800
				if ipv6 {
					family, proto = "ip6", 0x86dd
				}
				want := fmt.Sprintf("%s %v %#04x in=%s out=%s", family, test.hook, proto, test.in, test.out)
				if len(requests) != 1 || requests[0] != want {
					t.Errorf("requests seen: %q, want %q", requests, want)
				}
			})
		}
	}
}

// request reports whether p is an echo request.
func request(p *ipq.Packet) bool {
	if p.Family == ipq.IPv6 {
		return p.Payload[40] == 128
	}
	return p.Payload[20] == 8
}

func TestOwnerOfLocalSocket(t *testing.T) {
	net := sandbox.Setup(t, 1)
	q := open(t, ipq.Config{Queue: 900, Require: ipq.FlagUIDGID})
	if q.Flags() != ipq.FlagUIDGID {
		t.Errorf("granted %v, want uid-gid", q.Flags())
	}
	type owner struct {
		uid, gid uint32
		known    bool
	}
	owners := make(chan owner, 8)
	serve(t, q, func(p *ipq.Packet) ipq.Verdict {
		owners <- owner{p.UID, p.GID, p.Has(ipq.HasUID | ipq.HasGID)}
		return ipq.Accept
	})
	feed(t, 900, chain(rules.Output, rules.Match{Protocols: []rules.Protocol{rules.UDP}}))
	if !do(t, sandbox.Exchange{Protocol: sandbox.DNS, From: net.Router, To: net.Hosts[0], Name: "owner.test"}) {
		t.Fatal("no answer")
	}
	uid, gid := outside(t, "uid_map", os.Getuid()), outside(t, "gid_map", os.Getgid())
	if got := <-owners; got != (owner{uid, gid, true}) {
		t.Errorf("owner %+v, want uid %d and gid %d", got, uid, gid)
	}
}

// outside is what an id of this user namespace, which maps one, is in the one around it. The kernel tells ids as the
// outermost namespace numbers them.
func outside(t *testing.T, file string, id int) uint32 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var first, there, n int
	if _, err := fmt.Sscan(string(text), &first, &there, &n); err != nil || id < first || id >= first+n {
		t.Fatalf("%s: %q, %v", file, text, err)
	}
	return uint32(there + id - first)
}

func TestQueueInAnotherNamespace(t *testing.T) {
	net := sandbox.Setup(t, 1)
	var path string
	var file *os.File
	if err := net.Hosts[0].Do(func() (err error) {
		file, err = os.Open("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	path = ipq.NetnsOfFile(file)
	q := open(t, ipq.Config{Queue: 900, Netns: path})
	// The threads that were there, for this and for the sandbox, take a moment to end.
	for end := time.Now().Add(patience); len(threadNamespaces(t)) != 1; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("threads are in namespaces %v, and stay there", threadNamespaces(t))
		}
	}
	serve(t, q, func(p *ipq.Packet) ipq.Verdict { return ipq.Drop })
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 900}, Netns: path,
		Chains: []rules.Chain{chain(rules.Input, pings)}})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Remove(context.Background())
	if do(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Router, To: net.Hosts[0]}) {
		t.Error("the packet passed although the queue in the host's namespace drops it")
	}
	s := q.Stats()
	if s.Dropped != 1 || s.Kernel == nil {
		t.Errorf("stats %+v: want one drop, and the kernel's row", s)
	}
	// Its numbers are its own: the same queue in this namespace is free.
	open(t, ipq.Config{Queue: 900})
}

// threadNamespaces is the set of network namespaces that the process's threads are in.
func threadNamespaces(t *testing.T) map[string]bool {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, task := range tasks {
		if ns, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net"); err == nil { // threads end
			found[ns] = true
		}
	}
	return found
}

func TestOpenWithoutPrivilege(t *testing.T) {
	open(t, ipq.Config{Queue: 901})
	for _, number := range []uint16{900, 901} { // free, and owned: what is missing is the same
		openWithoutPrivilege(t, number)
	}
}

func openWithoutPrivilege(t *testing.T, number uint16) {
	t.Helper()
	err := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends without its capabilities
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if e := unix.Capset(&header, &none[0]); e != nil {
			err <- e
			return
		}
		_, e := ipq.Open(ipq.Config{Queue: number})
		err <- e
	}()
	e := <-err
	if !errors.Is(e, os.ErrPermission) || !strings.Contains(e.Error(), "CAP_NET_ADMIN") || errors.Is(e, ipq.ErrQueueBusy) {
		t.Errorf("Open without capabilities: %v", e)
	}
}

func TestOpenOwnedByAnotherProcess(t *testing.T) {
	sandbox.RequireNamespaces(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), ownerEnv+"=1")
	in, _ := child.StdinPipe()
	out, _ := child.StdoutPipe()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer in.Close()
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil || word != "owned" {
		t.Fatalf("the other process says %q: %v", word, err)
	}
	_, err := ipq.Open(ipq.Config{Queue: 900})
	if !errors.Is(err, ipq.ErrQueueBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", child.Process.Pid)) {
		t.Errorf("Open of a queue of process %d: %v", child.Process.Pid, err)
	}
}

func TestFlagsThatTheKernelLacks(t *testing.T) {
	sandbox.RequireNamespaces(t)
	// Which flags this kernel has is not known beforehand: what is asked for must be granted or refused by name.
	all := ipq.FlagConntrack | ipq.FlagGSO | ipq.FlagUIDGID | ipq.FlagSecurityContext
	q := open(t, ipq.Config{Queue: 900, Flags: all})
	lacking := all &^ q.Flags()
	t.Logf("granted %v, lacking %v", q.Flags(), lacking)
	if lacking == 0 {
		return
	}
	_, err := ipq.Open(ipq.Config{Queue: 901, Require: all})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), lacking.String()) {
		t.Errorf("required flags that the kernel lacks: %v, want an error that names %v", err, lacking)
	}
}

// Rules that go on feeding the queue must not keep Drain from ending.
func TestDrainUnderTraffic(t *testing.T) {
	net := sandbox.Setup(t, 1)
	q := open(t, ipq.Config{Queue: 900, Default: ipq.Accept})
	feed(t, 900, chain(rules.Output, pings))
	end := make(chan struct{})
	var traffic sync.WaitGroup
	traffic.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
				sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Router, To: net.Hosts[0], Timeout: 50 * time.Millisecond}.Do()
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := q.Drain(ctx); err != nil {
		t.Errorf("Drain while packets keep coming: %v", err)
	}
	close(end)
	traffic.Wait()
}

// Where the socket's buffer is full, the acknowledgement of a SetMode is lost. Waiting for it would help nobody: meanwhile the
// packets that are received have no verdict.
func TestSetModeDoesNotWaitForALostAcknowledgement(t *testing.T) {
	const ackWait = 250 * time.Millisecond // of the other end of a socketpair
	hosts := sandbox.Setup(t, 1).Hosts
	q := open(t, ipq.Config{Queue: 900, RecvBuffer: 4096, MaxLen: 4096, Default: ipq.Accept})
	feed(t, 900, chain(rules.Output, rules.Match{Protocols: []rules.Protocol{rules.UDP}}))
	fastest := time.Hour
	for range 20 { // the machine may be busy, but not each time
		lost := q.Stats().SocketDrops
		sender := dialUDP(t, hosts[0])
		for end := time.Now().Add(patience); q.Stats().SocketDrops == lost; {
			if _, err := sender.Write(make([]byte, 500)); err != nil && !errors.Is(err, unix.EPERM) { // EPERM: dropped at once
				t.Fatal(err)
			}
			if time.Now().After(end) {
				t.Fatalf("the socket's buffer does not fill: %+v", q.Stats())
			}
		}
		lost = q.Stats().SocketDrops
		began := time.Now()
		if err := q.SetMode(ipq.ModeMeta, 0); err != nil {
			t.Fatal(err)
		}
		if q.Stats().SocketDrops == lost {
			t.Fatal("the acknowledgement was not lost")
		}
		if fastest = min(fastest, time.Since(began)); fastest < ackWait/2 {
			break
		}
	}
	if fastest >= ackWait/2 {
		t.Errorf("SetMode took %v, and nothing but the kernel's answer within the send can come", fastest)
	}
	if err := q.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// dialUDP is a socket whose datagrams go to a host, where nothing listens.
func dialUDP(t *testing.T, h *sandbox.Host) net.Conn {
	t.Helper()
	c, err := net.Dial("udp4", net.JoinHostPort(h.IPv4.String(), "9"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// What a socket of this host has sent counts for its send buffer until it is answered.
func TestHeldPacketsFillTheSendBuffer(t *testing.T) {
	const size, most = 1000, 5000
	hosts := sandbox.Setup(t, 1).Hosts
	q := open(t, ipq.Config{Queue: 900, MaxLen: 2 * most})
	feed(t, 900, chain(rules.Output, rules.Match{Protocols: []rules.Protocol{rules.UDP}}))
	sender := dialUDP(t, hosts[0])
	raw, err := sender.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	sent, buffer := 0, 0
	if ctlErr := raw.Control(func(fd uintptr) {
		if buffer, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF); err != nil {
			return
		}
		for ; err == nil && sent <= most; sent++ {
			err = unix.Send(int(fd), make([]byte, size), unix.MSG_DONTWAIT)
		}
	}); ctlErr != nil {
		t.Fatal(ctlErr)
	}
	sent-- // the last one had no room
	if !errors.Is(err, unix.EAGAIN) || sent < 1 || sent > buffer/size {
		t.Errorf("%d datagrams of %d bytes were sent with a buffer of %d: %v, want EAGAIN", sent, size, buffer, err)
	}
	t.Logf("%d datagrams of %d bytes fill a send buffer of %d bytes", sent, size, buffer)
	if err := q.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}
