package rules_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/rules"
)

// Of a flow of ten datagrams the first three are taken, and of an old flow none; then of a flow in both directions.
func TestFirstPackets(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for way, install := range ways(t) {
		t.Run(way, func(t *testing.T) {
			if err := os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_acct", []byte("0"), 0); err != nil {
				t.Fatal(err) // the kernel turns it on below, and leaves it on
			}
			old := listen(t, "127.0.0.1:0")
			tracking := one(rules.Input, 0, rules.Match{States: rules.New, Dst: prefixes("192.0.2.1")})
			installed(t, install, tracking) // turns tracking on, without counting
			if !old.echo(t, "before") {
				t.Fatal("lo does not work")
			}
			tap := open(t, 922)
			p := one(rules.Input, 0, rules.Match{FirstPackets: 3})
			p.Target.Queue = 922
			installed(t, install, p)
			fresh := listen(t, "[::1]:0")
			for i := range 10 {
				if !fresh.echo(t, fmt.Sprint("fresh", i)) {
					t.Fatalf("datagram %d did not arrive", i)
				}
			}
			if _, headers := tap.take(); len(headers) != 3 || string(headers[2].Payload()) != "fresh2" {
				t.Errorf("%d packets of a new flow were queued, want the first 3", len(headers))
			}
			if !old.echo(t, "after") {
				t.Error("a datagram of an old flow did not arrive")
			}
			if packets, _ := tap.take(); len(packets) != 0 {
				t.Errorf("%d packets of an old flow were queued, want none", len(packets))
			}
			a, b := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
			for i := range 4 {
				for _, pair := range [][2]socket{{a, b}, {b, a}} {
					text := fmt.Sprint("both", i)
					pair[0].WriteTo([]byte(text), pair[1].LocalAddr())
					if !pair[1].gets(t, text) {
						t.Fatalf("datagram %d did not arrive", i)
					}
				}
			}
			if packets, _ := tap.take(); len(packets) != 3 {
				t.Errorf("%d packets of a flow in both directions were queued, want the first 3", len(packets))
			}
		})
	}
}

func TestMark(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for way, install := range ways(t) {
		t.Run(way, func(t *testing.T) {
			tap := open(t, 923)
			p := one(rules.Output, 0, rules.Match{Mark: 1, MarkMask: 3}, rules.Match{Mark: 0x80000000, MarkMask: 0xffffffff})
			p.Target.Queue = 923
			installed(t, install, p)
			s := listen(t, "127.0.0.1:0")
			for _, c := range []struct {
				mark int
				want int
			}{{0, 0}, {1, 1}, {2, 0}, {3, 0}, {5, 1}, {0x80000000, 1}, {0x80000004, 0}} {
				mark(t, s, c.mark)
				if !s.echo(t, "marked") {
					t.Fatal("the datagram did not arrive")
				}
				if packets, _ := tap.take(); len(packets) != c.want {
					t.Errorf("mark %#x: %d packets were queued, want %d", c.mark, len(packets), c.want)
				}
			}
		})
	}
}

func mark(t *testing.T, s socket, mark int) {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark) })
	if err != nil {
		t.Fatal(err)
	}
}

// What ipq watch asks for: every packet once. Our own multicast and broadcast is queued where it leaves, and not again
// where the kernel hands us the copy; that of others is queued where it arrives.
func TestLoopedBack(t *testing.T) {
	n := sandbox.Setup(t, 1)
	host := n.Hosts[0]
	link, err := net.InterfaceByName(host.Link)
	if err != nil {
		t.Fatal(err)
	}
	for way, install := range ways(t) {
		t.Run(way, func(t *testing.T) {
			tap := open(t, 924)
			installed(t, install, rules.Plan{Target: rules.Target{Queue: 924}, Chains: []rules.Chain{
				{Hook: rules.Prerouting, Priority: -300, Match: []rules.Match{{Except: []rules.Match{{LoopedBack: true}}}}},
				{Hook: rules.Output, Match: []rules.Match{{Except: []rules.Match{{Out: []string{"lo"}}}}}},
			}})
			group4, group6 := netip.MustParseAddr("239.7.7.7"), netip.MustParseAddr("ff05::7777")
			hear := func(c *net.UDPConn, err error) *net.UDPConn {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return c
			}
			ear4 := hear(net.ListenMulticastUDP("udp4", link, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group4, 5007))))
			ear6 := hear(net.ListenMulticastUDP("udp6", link, net.UDPAddrFromAddrPort(netip.AddrPortFrom(group6, 5007))))
			lo, err := net.InterfaceByName("lo")
			if err != nil {
				t.Fatal(err)
			}
			loEar := hear(net.ListenMulticastUDP("udp4", lo, &net.UDPAddr{IP: net.IPv4(239, 7, 7, 8), Port: 5009}))
			all := hear(net.ListenUDP("udp4", &net.UDPAddr{Port: 5008}))

			// heard waits for the text, and returns where packets with it were queued.
			heard := func(ear *net.UDPConn, text string) (hooks []string) {
				t.Helper()
				buf := make([]byte, 1000)
				ear.SetReadDeadline(time.Now().Add(5 * time.Second))
				for {
					k, err := ear.Read(buf)
					if err != nil {
						t.Fatalf("%q: %v", text, err)
					}
					if string(buf[:k]) == text {
						break
					}
				}
				packets, headers := tap.take()
				for i, h := range headers {
					if string(h.Payload()) == text {
						hooks = append(hooks, packets[i].Hook.String())
					}
				}
				return hooks
			}
			check := func(what string, ear *net.UDPConn, want string, s sender) {
				t.Helper()
				text := way + " " + what
				s.send(t, text)
				if got := heard(ear, text); !slices.Equal(got, []string{want}) {
					t.Errorf("%s is queued at %v, want once at %s", what, got, want)
				}
			}
			here, there := n.Router, host
			check("our multicast", ear4, "output", sender{here, link.Name, "0.0.0.0", "239.7.7.7:5007"})
			check("our multicast by IPv6", ear6, "output", sender{here, link.Name, "::", "[ff05::7777]:5007"})
			check("our broadcast to all", all, "output", sender{here, link.Name, "10.7.0.1", "255.255.255.255:5008"})
			check("our broadcast to the network", all, "output", sender{here, link.Name, "10.7.0.1", "10.7.0.255:5008"})
			check("another's multicast", ear4, "prerouting", sender{there, "eth0", "10.7.0.2", "239.7.7.7:5007"})
			check("another's multicast by IPv6", ear6, "prerouting", sender{there, "eth0", "::", "[ff05::7777]:5007"})
			check("another's broadcast", all, "prerouting", sender{there, "eth0", "10.7.0.2", "10.7.0.255:5008"})
			check("another's datagram", all, "prerouting", sender{there, "eth0", "10.7.0.2", "10.7.0.1:5008"})
			check("our own datagram to ourselves", all, "prerouting", sender{here, "lo", "127.0.0.1", "127.0.0.1:5008"})
			check("our own multicast on lo", loEar, "prerouting", sender{here, "lo", "127.0.0.1", "239.7.7.8:5009"})
		})
	}
}

// A host without any address broadcasts from 0.0.0.0, as it does to ask for one; so do others, and theirs must be seen.
func TestLoopedBackWithoutAddress(t *testing.T) {
	sandbox.RequireNamespaces(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "bare0"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "bare1"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(&netlink.Veth{LinkAttrs: attrs}) })
	for _, name := range []string{"bare0", "bare1"} {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for way, install := range ways(t) {
		t.Run(way, func(t *testing.T) {
			tap := open(t, 924)
			installed(t, install, rules.Plan{Target: rules.Target{Queue: 924}, Chains: []rules.Chain{
				{Hook: rules.Prerouting, Priority: -300, Match: []rules.Match{{Family: rules.IPv4, Except: []rules.Match{{LoopedBack: true}}}}},
				{Hook: rules.Output, Match: []rules.Match{{Family: rules.IPv4, Except: []rules.Match{{Out: []string{"lo"}}}}}},
			}})
			var got []string
			ended := false
			hear := func() {
				tap.wait(t, 1)
				packets, headers := tap.take()
				for i, p := range packets {
					switch string(headers[i].Payload()) { // the kernel has IGMP messages without an address, too
					case "who am I":
						got = append(got, p.Hook.String()+" "+p.InName()+p.OutName())
					case "the end":
						ended = true
					}
				}
			}
			sender{&sandbox.Host{}, "bare0", "0.0.0.0", "255.255.255.255:67"}.send(t, "who am I")
			for len(got) < 2 {
				hear()
			}
			sender{&sandbox.Host{}, "lo", "127.0.0.1", "127.0.0.1:67"}.send(t, "the end") // after any copy that is still to come
			for !ended {
				hear()
			}
			slices.Sort(got)
			if want := []string{"output bare0", "prerouting bare1"}; !slices.Equal(got, want) {
				t.Errorf("queued at %q, want %q", got, want)
			}
		})
	}
}

// sender sends one datagram from a host.
type sender struct {
	host           *sandbox.Host
	link, from, to string
}

func (s sender) send(t *testing.T, text string) {
	t.Helper()
	err := s.host.Do(func() error {
		from, to := netip.MustParseAddr(s.from), netip.MustParseAddrPort(s.to)
		local, remote := sockaddr(netip.AddrPortFrom(from, 0)), sockaddr(to)
		family := unix.AF_INET
		if to.Addr().Is6() {
			family = unix.AF_INET6
		}
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return errors.Join(
			unix.BindToDevice(fd, s.link),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
			unix.Bind(fd, local),
			unix.Sendto(fd, []byte(text), 0, remote))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
