package rules_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/packet"
	"ipq/rules"
)

// A packet that is repeated with the plan's mark is queued once, arrives, and goes on with the mark that it came with; one
// that is repeated without the plan's mark comes back.
func TestRepeatMark(t *testing.T) {
	sandbox.RequireNamespaces(t)
	const bit, other = 0x1000, 0x6
	for way, install := range ways(t) {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			for _, marks := range []bool{true, false} {
				t.Run(way+" "+address, func(t *testing.T) {
					const times = 5 // at most
					seen := make(chan uint32, times)
					plan := rules.Plan{
						Target: rules.Target{Queue: 925}, RepeatMark: bit,
						Chains: []rules.Chain{{Hook: rules.Output, Match: []rules.Match{{Protocols: protocols(rules.UDP)}}}},
					}
					serve(t, ipq.Config{Queue: 925}, func(p *ipq.Packet) ipq.Verdict {
						seen <- p.Mark
						if len(seen) == times {
							return ipq.Accept
						}
						if marks {
							p.SetMark(plan.RepeatMark, plan.RepeatMark)
						}
						return ipq.Repeat
					})
					installed(t, install, plan)
					behind := open(t, 928)
					next := one(rules.Output, 10)
					next.Target.Queue = 928
					installed(t, install, next)
					s := listen(t, address)
					mark(t, s, other)
					if !s.echo(t, "repeated") {
						t.Fatal("the datagram did not arrive")
					}
					if packets, _ := behind.take(); len(packets) != 1 || packets[0].Mark != other {
						t.Errorf("the chain behind got %v, want one packet with the mark %#x", packets, other)
					}
					want := times
					if marks {
						want = 1
					}
					if len(seen) != want {
						t.Errorf("the datagram was queued %d times, want %d", len(seen), want)
					}
					if m := <-seen; m != other {
						t.Errorf("it was queued with the mark %#x, want %#x", m, other)
					}
				})
			}
		}
	}
}

// A packet is queued once at each chain of the plan, because each takes away the mark that it honours.
func TestRepeatMarkAtTwoChains(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for way, install := range ways(t) {
		t.Run(way, func(t *testing.T) {
			plan := rules.Plan{Target: rules.Target{Queue: 925}, RepeatMark: 0xffffffff, Chains: []rules.Chain{
				{Hook: rules.Output}, {Hook: rules.Output, Priority: 10}, {Hook: rules.Input},
			}}
			var mu sync.Mutex
			var got []string
			serve(t, ipq.Config{Queue: 925}, func(p *ipq.Packet) ipq.Verdict {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, fmt.Sprintf("%s %#x", p.Hook, p.Mark))
				p.SetMark(plan.RepeatMark, plan.RepeatMark)
				return ipq.Repeat
			})
			installed(t, install, plan)
			if !listen(t, "127.0.0.1:0").echo(t, "repeated") {
				t.Fatal("the datagram did not arrive")
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, []string{"output 0x0", "output 0x0", "input 0x0"}) {
				t.Errorf("the datagram was queued at %q", got)
			}
		})
	}
}

// What is inside a tunnel is queued where it goes in and where it comes out, and so is what carries it: the mark of one is
// not the mark of the other.
func TestRepeatMarkStaysOutOfTunnels(t *testing.T) {
	net := sandbox.Setup(t, 1)
	router, host := net.Router, net.Hosts[0]
	const inner, outer = 5555, 4789
	tunnel := func(from, to netip.Addr, address string) func() error {
		return func() error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "tunnel0"
			link := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: 5, SrcAddr: from.AsSlice(), Group: to.AsSlice(), Port: outer}
			if err := netlink.LinkAdd(link); err != nil {
				return err
			}
			a, err := netlink.ParseAddr(address)
			return errors.Join(err, netlink.AddrAdd(link, a), netlink.LinkSetUp(link))
		}
	}
	err := errors.Join(tunnel(router.IPv4, host.IPv4, "10.10.0.1/24")(), host.Do(tunnel(host.IPv4, router.IPv4, "10.10.0.2/24")))
	t.Cleanup(func() {
		if link, err := netlink.LinkByName("tunnel0"); err == nil {
			netlink.LinkDel(link)
		}
	})
	sandbox.Require(t, "vxlan", !errors.Is(err, unix.EOPNOTSUPP), "the kernel has no VXLAN")
	if err != nil {
		t.Fatal(err)
	}
	for way, install := range ways(t) {
		t.Run(way, func(t *testing.T) {
			plan := rules.Plan{Target: rules.Target{Queue: 925}, RepeatMark: 0x1000, Chains: []rules.Chain{
				{Hook: rules.Prerouting, Match: []rules.Match{{Protocols: protocols(rules.UDP), DstPorts: ports(inner, outer)}}},
				{Hook: rules.Output, Match: []rules.Match{{Protocols: protocols(rules.UDP), DstPorts: ports(inner, outer)}}},
			}}
			type at struct {
				hook ipq.Hook
				port uint16
			}
			var mu sync.Mutex
			seen := make(map[at]int)
			serve(t, ipq.Config{Queue: 925}, func(p *ipq.Packet) ipq.Verdict {
				var h packet.Headers
				h.Parse(p.Payload)
				mu.Lock()
				seen[at{p.Hook, h.DstPort}]++
				mu.Unlock()
				p.SetMark(plan.RepeatMark, plan.RepeatMark)
				return ipq.Repeat
			})
			installed(t, install, plan)
			ear := listen(t, "10.10.0.1:5555")
			sender{host, "tunnel0", "10.10.0.2", "10.10.0.1:5555"}.send(t, "out of the tunnel")
			if !ear.gets(t, "out of the tunnel") {
				t.Fatal("nothing came out of the tunnel")
			}
			sender{router, "tunnel0", "10.10.0.1", "10.10.0.2:5555"}.send(t, "into the tunnel")
			deadline := time.Now().Add(10 * time.Second)
			for {
				mu.Lock()
				n := seen[at{ipq.Prerouting, inner}] == 1 && seen[at{ipq.Prerouting, outer}] != 0 &&
					seen[at{ipq.Output, inner}] == 1 && seen[at{ipq.Output, outer}] != 0
				mu.Unlock()
				if n {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("queued were %v, want both ports at both hooks", seen)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// A packet needs all bits of the mark to pass.
func TestRepeatMarkOfTwoBits(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for way, install := range ways(t) {
		t.Run(way, func(t *testing.T) {
			tap := open(t, 926)
			p := one(rules.Output, 0)
			p.Target.Queue, p.RepeatMark = 926, 0x3
			installed(t, install, p)
			s := listen(t, "127.0.0.1:0")
			for set, want := range map[int]int{0: 1, 1: 1, 2: 1, 3: 0, 7: 0, 4: 1} {
				mark(t, s, set)
				if !s.echo(t, "marked") {
					t.Fatal("the datagram did not arrive")
				}
				if packets, _ := tap.take(); len(packets) != want {
					t.Errorf("mark %#x: %d packets were queued, want %d", set, len(packets), want)
				}
			}
		})
	}
}

// Accept goes on with the next chain of the hook, Stop with none of them but with the next hook.
func TestAcceptGoesOnAndStopDoesNot(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for verdict, want := range map[ipq.Verdict]int{ipq.Accept: 1, ipq.Stop: 0} {
		t.Run(verdict.String(), func(t *testing.T) {
			serve(t, ipq.Config{Queue: 927}, func(*ipq.Packet) ipq.Verdict { return verdict })
			later, hook := open(t, 928), open(t, 929)
			for queue, c := range map[uint16]rules.Chain{927: {Hook: rules.Output}, 928: {Hook: rules.Output, Priority: 10}, 929: {Hook: rules.Postrouting}} {
				installed(t, rules.Install, rules.Plan{Target: rules.Target{Queue: queue}, Chains: []rules.Chain{c}})
			}
			if !listen(t, "127.0.0.1:0").echo(t, "answered") {
				t.Fatal("the datagram did not arrive")
			}
			if packets, _ := later.take(); len(packets) != want {
				t.Errorf("the later chain saw %d packets, want %d", len(packets), want)
			}
			if packets, _ := hook.take(); len(packets) != 1 {
				t.Errorf("the later hook saw %d packets, want 1", len(packets))
			}
		})
	}
}
