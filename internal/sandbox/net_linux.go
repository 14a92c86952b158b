package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Net is the sandbox and its hosts, joined by links. Every address is known
// beforehand to every neighbour, so that no packet but the traffic's own has
// one of these addresses, and nothing waits for an address to be tried out.
type Net struct {
	Router *Host   // the sandbox itself, which forwards between the hosts
	Hosts  []*Host // at most two; they answer ping, HTTP on port 80 and DNS on port 53, the router only ping
}

// NewNet makes a net of one or two hosts in the sandbox. Only one can exist at
// a time. Requires at least Linux 4.0.
func NewNet(hosts int) (*Net, error) {
	if errUnavailable != nil {
		return nil, errUnavailable
	}
	if hosts < 1 || hosts > 2 {
		return nil, fmt.Errorf("sandbox: a net of %d hosts: want 1 or 2", hosts)
	}
	n := &Net{Router: &Host{Name: "router"}}
	if err := n.build(hosts); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Setup is NewNet for a test: the test is skipped outside a sandbox, and the
// net is closed when it ends.
func Setup(t interface {
	TB
	Cleanup(func())
}, hosts int) *Net {
	t.Helper()
	RequireNamespaces(t)
	n, err := NewNet(hosts)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Fatalf("%v", err)
		}
	})
	return n
}

func (n *Net) build(hosts int) error {
	_, err := os.Stat("/proc/sys/net/ipv6")
	ipv6 := err == nil
	// What a new namespace inherits differs between machines.
	if err := n.Router.settings(ipv6, "all", "default"); err != nil {
		return err
	}
	if err := n.Router.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		return err
	}
	if ipv6 {
		if err := n.Router.Sysctl("net.ipv6.conf.all.forwarding", "1"); err != nil {
			return err
		}
	}
	for i := range hosts {
		h := &Host{Name: fmt.Sprintf("host %d", i), Link: fmt.Sprintf("ipq%d", i)}
		if h.ns, err = newNamespace(); err != nil {
			return fmt.Errorf("sandbox: make %s: %w", h.Name, err)
		}
		n.Hosts = append(n.Hosts, h)
		if err := n.join(h, byte(i), ipv6); err != nil {
			return fmt.Errorf("sandbox: join %s to the router: %w", h.Name, err)
		}
		if h.services, err = h.serve(); err != nil {
			return fmt.Errorf("sandbox: start the services of %s: %w", h.Name, err)
		}
	}
	return nil
}

// settings makes the parameters what they are on a plain machine, and keeps
// the kernel from sending packets that nobody asked for.
func (h *Host) settings(ipv6 bool, links ...string) error {
	set := [][2]string{{"net.ipv4.icmp_echo_ignore_all", "0"}}
	for _, link := range links {
		set = append(set, [2]string{"net.ipv4.conf." + link + ".rp_filter", "0"})
		if ipv6 {
			set = append(set,
				[2]string{"net.ipv6.conf." + link + ".disable_ipv6", "0"},
				[2]string{"net.ipv6.conf." + link + ".accept_dad", "0"},
				[2]string{"net.ipv6.conf." + link + ".accept_ra", "0"},
				[2]string{"net.ipv6.conf." + link + ".addr_gen_mode", "1"}) // no link-local address
		}
	}
	for _, s := range set {
		if err := h.Sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	return nil
}

// end is one end of a link.
type end struct {
	host    *Host
	link    string
	mac     net.HardwareAddr
	address []netip.Prefix
}

// join makes the link between the router and host i: "ipq0" or "ipq1" here,
// "eth0" there.
func (n *Net) join(h *Host, i byte, ipv6 bool) error {
	if err := h.settings(ipv6, "all", "default"); err != nil {
		return err
	}
	here := end{host: n.Router, link: h.Link, mac: net.HardwareAddr{2, 0, 7, 0, i, 1}}
	there := end{host: h, link: "eth0", mac: net.HardwareAddr{2, 0, 7, 0, i, 2}}
	ends := []*end{&here, &there}
	for j, e := range ends {
		v4 := netip.AddrFrom4([4]byte{10, 7, i, byte(j + 1)})
		e.address = append(e.address, netip.PrefixFrom(v4, 24))
		if !e.host.IPv4.IsValid() {
			e.host.IPv4 = v4
		}
		if ipv6 {
			v6 := netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x07, 3: i, 15: byte(j + 1)})
			e.address = append(e.address, netip.PrefixFrom(v6, 64))
			if !e.host.IPv6.IsValid() {
				e.host.IPv6 = v6
			}
		}
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = here.link, here.mac
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         there.link,
		PeerHardwareAddr: there.mac,
		PeerNamespace:    netlink.NsFd(h.ns.Fd()),
	})
	if err != nil {
		return fmt.Errorf("add a veth link: %w", err)
	}
	for j, e := range ends {
		other := ends[1-j]
		if err := e.host.Do(func() error { return e.configure(other) }); err != nil {
			return fmt.Errorf("link %s of %s: %w", e.link, e.host.Name, err)
		}
	}
	for _, e := range ends {
		if err := e.host.Do(func() error { return carries(e.link) }); err != nil {
			return fmt.Errorf("link %s of %s: %w", e.link, e.host.Name, err)
		}
	}
	err = h.Do(func() error {
		if err := up("lo"); err != nil {
			return fmt.Errorf("lo: %w", err)
		}
		for _, gateway := range here.address {
			if err := netlink.RouteAdd(&netlink.Route{Gw: gateway.Addr().AsSlice()}); err != nil {
				return fmt.Errorf("add a route by way of %s: %w", gateway.Addr(), err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range ends {
		for _, a := range e.address {
			if err := e.host.Do(func() error { return takes(a.Addr()) }); err != nil {
				return fmt.Errorf("link %s of %s: %w", e.link, e.host.Name, err)
			}
		}
	}
	return nil
}

// configure turns a link on and gives it its addresses. It runs in the
// namespace of the link.
func (e *end) configure(other *end) error {
	link, err := netlink.LinkByName(e.link)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("turn it on: %w", err)
	}
	for _, a := range e.address {
		err := netlink.AddrAdd(link, &netlink.Addr{
			IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())},
			Flags: unix.IFA_F_NODAD,
		})
		if err != nil {
			return fmt.Errorf("add %s: %w", a, err)
		}
	}
	for _, a := range other.address {
		err := netlink.NeighAdd(&netlink.Neigh{
			LinkIndex:    link.Attrs().Index,
			State:        netlink.NUD_PERMANENT,
			IP:           a.Addr().AsSlice(),
			HardwareAddr: other.mac,
		})
		if err != nil {
			return fmt.Errorf("add neighbour %s: %w", a.Addr(), err)
		}
	}
	return nil
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// patience bounds the wait for the kernel's workers, also on a busy machine.
const patience = 10 * time.Second

// takes waits until the host takes packets for an address as its own: for IPv6 a worker of the kernel adds that route.
func takes(a netip.Addr) error {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		routes, err := netlink.RouteGet(a.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not an address of this host after %v: %v, %w", a, patience, routes, err)
		}
	}
}

// carries waits until a link carries packets. The end that was turned on before
// its peer drops them until a worker of the kernel has seen the carrier.
func carries(name string) error {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if link.Attrs().OperState == netlink.OperUp {
			// The worker sets the state first and then the link to work, under a
			// lock that this waits for.
			return netlink.LinkSetUp(link)
		}
		if time.Now().After(end) {
			return fmt.Errorf("no carrier after %v", patience)
		}
	}
}

// Close ends the services, and takes the links and the hosts away. Sockets
// that are still open in a host keep its namespace, with no link in it.
func (n *Net) Close() error {
	var errs []error
	for _, h := range n.Hosts {
		if h.services != nil {
			h.services.close()
		}
		// A namespace goes some time after its last user; its link goes now.
		if link, err := netlink.LinkByName(h.Link); err == nil {
			if err := netlink.LinkDel(link); err != nil {
				errs = append(errs, fmt.Errorf("sandbox: remove link %s: %w", h.Link, err))
			}
		}
		errs = append(errs, h.ns.Close())
	}
	n.Hosts = nil
	return errors.Join(errs...)
}
