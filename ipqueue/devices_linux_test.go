package ipqueue_test

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/ipqueue"
	"ipq/rules"
)

// sendFrom sends a UDP datagram from a host of the sandbox.
func sendFrom(t *testing.T, from *sandbox.Host, to string, size int) {
	t.Helper()
	err := from.Do(func() error {
		c, err := net.Dial("udp", net.JoinHostPort(to, "7001"))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(make([]byte, size))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What a packet says of its devices at each hook, as recorded on a 3.4 kernel
// with tap devices in the place of these.
func TestDevices(t *testing.T) {
	netw := sandbox.Setup(t, 2)
	h := open(t, ipqueue.Config{})
	host0, host1 := netw.Hosts[0], netw.Hosts[1]
	var mac net.HardwareAddr
	if err := host0.Do(func() error {
		links, err := net.Interfaces()
		for _, l := range links {
			if l.Flags&net.FlagLoopback == 0 {
				mac = l.HardwareAddr
			}
		}
		return err
	}); err != nil || len(mac) != 6 {
		t.Fatalf("address of host 0: %v, %v", mac, err)
	}
	match := []rules.Match{{Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(7001)}}}
	for _, test := range []struct {
		name          string
		hook          rules.Hook
		from          *sandbox.Host
		to4, to6      string
		in, out       string
		hwType, hwLen int
	}{
		{"PREROUTING", rules.Prerouting, host0, netw.Router.IPv4.String(), netw.Router.IPv6.String(), host0.Link, "", 1, 6},
		{"INPUT", rules.Input, host0, netw.Router.IPv4.String(), netw.Router.IPv6.String(), host0.Link, "", 1, 6},
		{"FORWARD", rules.Forward, host0, host1.IPv4.String(), host1.IPv6.String(), host0.Link, host1.Link, 1, 6},
		{"POSTROUTING, forwarded", rules.Postrouting, host0, host1.IPv4.String(), host1.IPv6.String(), "", host1.Link, 0, 0},
		{"POSTROUTING, local", rules.Postrouting, netw.Router, host1.IPv4.String(), host1.IPv6.String(), "", host1.Link, 0, 0},
		{"OUTPUT", rules.Output, netw.Router, host1.IPv4.String(), host1.IPv6.String(), "", host1.Link, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := feedFrom(t, 0, rules.Chain{Hook: test.hook, Match: match})
			defer table.Close()
			for _, family := range []uint8{ipqueue.IPv4, ipqueue.IPv6} {
				for _, layout := range layouts {
					p := connect(t, h, family, layout, 700)
					p.setMode(wire.IPQCopyPacket, 0)
					to := test.to4
					if family == ipqueue.IPv6 {
						to = test.to6
					}
					sendFrom(t, test.from, to, 30)
					m, _ := p.wantPacket()
					if m.Hook != uint32(test.hook) || cString(m.In[:]) != test.in || cString(m.Out[:]) != test.out ||
						int(m.HWType) != test.hwType || int(m.HWAddrLen) != test.hwLen {
						t.Errorf("family %d, %d bits: hook %d, in %q, out %q, hw_type %d, %d bytes", family, 8*layout, m.Hook, cString(m.In[:]), cString(m.Out[:]), m.HWType, m.HWAddrLen)
					}
					if test.hwLen == 6 && net.HardwareAddr(m.HWAddr[:6]).String() != mac.String() {
						t.Errorf("hw_addr %x, want %v", m.HWAddr, mac)
					}
					p.close()
					await(t, h, family, "the peer has left", func(s ipqueue.FamilyStatus) bool { return s.Programs == 0 })
				}
			}
		})
	}
}

// Packets of a device that goes down, or away, leave the queue, and their verdicts
// are refused. Others stay.
func TestDeviceDown(t *testing.T) {
	netw := sandbox.Setup(t, 2)
	h := open(t, ipqueue.Config{})
	match := []rules.Match{{Family: rules.IPv4, Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(7001)}}}
	feedFrom(t, 0, rules.Chain{Hook: rules.Input, Match: match}, rules.Chain{Hook: rules.Output, Match: match})
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyMeta, 0)
	host0, host1 := netw.Hosts[0], netw.Hosts[1]
	length := func(n uint32) {
		t.Helper()
		await(t, h, ipqueue.IPv4, "the queue has its length", func(s ipqueue.FamilyStatus) bool { return s.Length == n })
	}
	sendFrom(t, host0, netw.Router.IPv4.String(), 1)
	in, _ := p.wantPacket()
	sendFrom(t, netw.Router, host0.IPv4.String(), 2)
	out, _ := p.wantPacket()
	sendFrom(t, netw.Router, host1.IPv4.String(), 3)
	other, _ := p.wantPacket()
	length(3)

	// A device that has nothing to do with them.
	stranger := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "stranger"}, PeerName: "estranged"}
	if err := netlink.LinkAdd(stranger); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(netlink.Link) error{netlink.LinkSetUp, netlink.LinkSetDown, netlink.LinkDel} {
		if err := change(stranger); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, h, 0)
	length(3)

	if err := netlink.LinkSetDown(link(t, host0.Link)); err != nil {
		t.Fatal(err)
	}
	length(1)
	p.fence() // the program is not told
	for _, gone := range []wire.IPQPacket{in, out} {
		p.verdict(gone.ID, wire.IPQVerdictAccept, nil)
		p.wantReply(unix.ENOENT)
	}
	if err := netlink.LinkSetUp(link(t, host0.Link)); err != nil {
		t.Fatal(err)
	}
	settled(t, h, 0)
	length(1)

	if err := netlink.LinkDel(link(t, host1.Link)); err != nil {
		t.Fatal(err)
	}
	length(0)
	p.verdict(other.ID, wire.IPQVerdictAccept, nil)
	p.wantReply(unix.ENOENT)
	settled(t, h, 0)
	p.fence()
}

// A device that has been renamed is known by its new name.
func TestDeviceRenamed(t *testing.T) {
	netw := sandbox.Setup(t, 1)
	h := open(t, ipqueue.Config{})
	feed(t, 0, rules.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyMeta, 0)
	name := func() string {
		sendFrom(t, netw.Router, netw.Hosts[0].IPv4.String(), 1)
		m, _ := p.wantPacket()
		p.verdict(m.ID, wire.IPQVerdictDrop, nil)
		return cString(m.Out[:])
	}
	if got := name(); got != netw.Hosts[0].Link {
		t.Errorf("the device is %q", got)
	}
	l := link(t, netw.Hosts[0].Link)
	if err := netlink.LinkSetName(l, "a-name-of-15-ch"); err != nil {
		t.Skipf("this kernel does not rename a device that is up: %v", err)
	}
	defer netlink.LinkSetName(l, netw.Hosts[0].Link)
	if got := eventually(func() bool { return name() == "a-name-of-15-ch" }); !got {
		t.Errorf("the device is %q after it was renamed", name())
	}
}
