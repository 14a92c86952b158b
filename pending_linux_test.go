package ipq_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/packet"
	"ipq/rules"
)

// pendingDatagram is a UDP packet whose checksum is the sum of the pseudo-header, as the kernel leaves it for the hardware.
func pendingDatagram() []byte {
	b := []byte{0x45, 0, 0, 33, 0, 1, 0, 0, 64, 17, 0, 0, 10, 7, 0, 1, 10, 7, 0, 2, 0x13, 0x88, 0, 54, 0, 13, 1, 1, 'h', 'e', 'l', 'l', 'o'}
	if err := packet.UpdateChecksums(b); err != nil {
		panic(err)
	}
	binary.BigEndian.PutUint16(b[26:], 0x0a07+0x0001+0x0a07+0x0002+17+13)
	return b
}

// ipip puts an IPv4 header before b.
func ipip(protocol byte, b []byte) []byte {
	b = append([]byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}, b...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	if err := packet.UpdateChecksums(b); err != nil {
		panic(err)
	}
	return b
}

// What is sent in the place of a packet has every checksum, also that of a packet in a tunnel, which the kernel had left to
// the hardware; and where that cannot be found, nothing is sent.
func TestEditFillsChecksumsIn(t *testing.T) {
	peer, q := newPeer(t, ipq.Config{Flags: ipq.FlagGSO})
	var b ipq.Batch
	var h packet.Headers
	plain, whole := pendingDatagram(), pendingDatagram()
	if err := packet.UpdateChecksums(whole); err != nil {
		t.Fatal(err)
	}
	id := uint32(0)
	for _, test := range []struct {
		name       string
		sent, want []byte // want is what arrives, before the edit; nil where the edit is refused
	}{
		{"plain", plain, whole},
		{"tunnel", ipip(4, plain), ipip(4, whole)},
		{"tunnel in a tunnel", ipip(4, ipip(4, plain)), ipip(4, ipip(4, whole))},
		{"unknown tunnel", ipip(115, plain), nil},
		{"behind a tag, on a bridge", append([]byte{0, 7, 8, 0}, plain...), nil},
	} {
		family := uint8(2)
		if test.sent[0]>>4 != 4 {
			family = 7
		}
		for _, late := range []bool{false, true} {
			id++
			peer.send(wire.AppendPacket(nil, &wire.Packet{Family: family, Hook: 3, HWProto: 0x0800, ID: id, Fields: wire.HasSKBInfo | wire.HasPayload,
				SKBInfo: wire.SKBChecksumNotReady, Payload: test.sent}))
			if err := q.Recv(&b); err != nil {
				t.Fatal(err)
			}
			p := b.Packet(0)
			edited := p.Payload
			if late {
				edited = bytes.Clone(p.Payload)
			}
			h.Parse(edited)
			h.SetTOS(0x28)
			var err error
			if late {
				err = q.SetVerdict(p.ID, ipq.Accept, ipq.Changes{Payload: edited})
			} else if err = p.SetPayload(edited); err == nil {
				err = p.SetVerdict(ipq.Accept)
			}
			if test.want == nil {
				if !errors.Is(err, ipq.ErrChecksumInside) {
					t.Errorf("%s, late %v: %v", test.name, late, err)
				}
				if err := p.SetVerdict(ipq.Accept); err != nil {
					t.Error(err)
				}
				if v, _ := peer.verdict(); v.SetPayload {
					t.Errorf("%s, late %v: the packet was replaced", test.name, late)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			want := bytes.Clone(test.want)
			h.Parse(want)
			h.SetTOS(0x28)
			if v, _ := peer.verdict(); !bytes.Equal(v.Payload, want) {
				t.Errorf("%s, late %v:\n got %x\nwant %x", test.name, late, v.Payload, want)
			}
		}
	}
}

// A tunnelled packet arrives although the tunnel's header was edited.
func TestEditInTunnelArrives(t *testing.T) {
	netOf := sandbox.Setup(t, 1)
	host := netOf.Hosts[0]
	for i, test := range []struct {
		name   string
		ipv6   bool
		summed bool // the tunnel has a checksum of its own
	}{
		{"ipv4", false, false}, {"ipv4 with checksum", false, true}, {"ipv6", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.ipv6 {
				sandbox.Require(t, "ipv6", netOf.Router.IPv6.IsValid(), "the kernel has no IPv6")
			}
			inner := [2]string{fmt.Sprintf("10.8.%d.1/24", i), fmt.Sprintf("10.8.%d.2/24", i)}
			for side, h := range []*sandbox.Host{netOf.Router, host} {
				local, remote := netOf.Router.IPv4, host.IPv4
				if test.ipv6 {
					local, remote = netOf.Router.IPv6, host.IPv6
				}
				if side == 1 {
					local, remote = remote, local
				}
				attrs := netlink.NewLinkAttrs()
				attrs.Name = "vxlan"
				link := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: 5, SrcAddr: local.AsSlice(), Group: remote.AsSlice(), Port: 4789,
					UDPCSum: test.summed, Learning: true}
				add := func() error {
					if err := netlink.LinkAdd(link); err != nil {
						return err
					}
					addr, err := netlink.ParseAddr(inner[side])
					if err != nil {
						return err
					}
					if err := netlink.AddrAdd(link, addr); err != nil {
						return err
					}
					return netlink.LinkSetUp(link)
				}
				remove := func() error { return netlink.LinkDel(link) }
				if side == 1 {
					add, remove = in(h, add), in(h, remove)
				}
				err := add()
				sandbox.Require(t, "vxlan", err == nil, fmt.Sprint("a VXLAN device: ", err))
				t.Cleanup(func() { remove() })
			}
			var receiver *net.UDPConn
			if err := host.Do(func() (err error) {
				receiver, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 8, byte(i), 2), Port: 5555})
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer receiver.Close()
			q := open(t, ipq.Config{Queue: 900, Require: ipq.FlagGSO})
			var h packet.Headers
			var inside atomic.Int32
			serve(t, q, func(p *ipq.Packet) ipq.Verdict {
				if within, err := packet.PendingChecksum(p.Payload); p.ChecksumPending() && within > 0 && err == nil {
					inside.Add(1)
				}
				h.Parse(p.Payload)
				if h.SetTOS(0x28) != nil || p.SetPayload(p.Payload) != nil {
					t.Errorf("%x cannot be edited", p.Payload)
				}
				return ipq.Accept
			})
			feed(t, 900, chain(rules.Output, rules.Match{Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(4789)}}))
			sender, err := net.Dial("udp4", fmt.Sprintf("10.8.%d.2:5555", i))
			if err != nil {
				t.Fatal(err)
			}
			defer sender.Close()
			buf := make([]byte, 100)
			for end := time.Now().Add(patience); ; {
				if _, err := sender.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
				receiver.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				n, err := receiver.Read(buf)
				if err == nil {
					if string(buf[:n]) != "hello" {
						t.Errorf("%q arrived", buf[:n])
					}
					break
				}
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
				if time.Now().After(end) {
					t.Fatalf("nothing arrives; %+v", q.Stats())
				}
			}
			if inside.Load() == 0 {
				t.Error("the kernel has left no checksum inside of the tunnel to the hardware: nothing was tried")
			}
		})
	}
}

// in makes fn one that runs in the host's namespace.
func in(h *sandbox.Host, fn func() error) func() error { return func() error { return h.Do(fn) } }
