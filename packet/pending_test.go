package packet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"ipq/packet"
)

// tunnels wrap an IP packet in what the kernel's tunnels put before it. Those over UDP state no checksum.
var tunnels = map[string]func(inner []byte) []byte{
	"ipip":         func(b []byte) []byte { return ip4(ipIn(b), b) },
	"ip6tnl":       func(b []byte) []byte { return ip6(ipIn(b), b) },
	"gre":          func(b []byte) []byte { return ip4(47, greOf(0, b)) },
	"gre key":      func(b []byte) []byte { return ip4(47, greOf(0x2000, b)) },
	"gre all":      func(b []byte) []byte { return ip6(47, greOf(0xb000, b)) },
	"gretap":       func(b []byte) []byte { return ip4(47, join([]byte{0, 0, 0x65, 0x58}, frameOf(b))) },
	"fou":          func(b []byte) []byte { return ip4(17, unsummed(b)) },
	"gue":          func(b []byte) []byte { return ip4(17, unsummed(join([]byte{0, ipIn(b), 0, 0}, b))) },
	"gue options":  func(b []byte) []byte { return ip4(17, unsummed(join([]byte{1, ipIn(b), 0, 0, 1, 2, 3, 4}, b))) },
	"gue gre":      func(b []byte) []byte { return ip4(17, unsummed(join([]byte{0, 47, 0, 0}, greOf(0, b)))) },
	"vxlan":        func(b []byte) []byte { return ip4(17, unsummed(join([]byte{8, 0, 0, 0, 0, 0, 5, 0}, frameOf(b)))) },
	"vxlan policy": func(b []byte) []byte { return ip4(17, unsummed(join([]byte{0x88, 0, 7, 7, 0, 0, 5, 0}, frameOf(b)))) },
	"vxlan 6":      func(b []byte) []byte { return ip6(17, unsummed(join([]byte{8, 0, 0, 0, 0, 0, 5, 0}, frameOf(b)))) },
	"vxlan tags": func(b []byte) []byte {
		f := frameOf(b)
		return ip4(17, unsummed(join([]byte{8, 0, 0, 0, 0, 0, 5, 0}, f[:12], []byte{0x88, 0xa8, 0, 1}, f[12:])))
	},
	"vxlan-gpe":     func(b []byte) []byte { return ip4(17, unsummed(join([]byte{12, 0, 0, 1, 0, 0, 5, 0}, b))) },
	"vxlan-gpe eth": func(b []byte) []byte { return ip4(17, unsummed(join([]byte{12, 0, 0, 3, 0, 0, 5, 0}, frameOf(b)))) },
	"geneve": func(b []byte) []byte {
		return ip4(17, unsummed(join([]byte{0, 0, 0x65, 0x58, 0, 0, 5, 0}, frameOf(b))))
	},
	"geneve options": func(b []byte) []byte {
		return ip4(17, unsummed(join([]byte{8, 0, 0x65, 0x58, 0, 0, 5, 0}, make([]byte, 32), frameOf(b))))
	},
	"geneve ip": func(b []byte) []byte { return ip4(17, unsummed(join([]byte{0, 0}, etherOf(b), []byte{0, 0, 5, 0}, b))) },
	"vxlan in gre": func(b []byte) []byte {
		vxlan := ip4(17, unsummed(join([]byte{8, 0, 0, 0, 0, 0, 5, 0}, frameOf(b))))
		complete(vxlan)
		return ip4(47, greOf(0, vxlan))
	},
}

func ipIn(b []byte) byte {
	if b[0]>>4 == 6 {
		return 41
	}
	return 4
}

func etherOf(b []byte) []byte {
	if b[0]>>4 == 6 {
		return []byte{0x86, 0xdd}
	}
	return []byte{0x08, 0x00}
}

func frameOf(b []byte) []byte {
	return join([]byte{2, 0, 7, 0, 0, 1, 2, 0, 7, 0, 0, 2}, etherOf(b), b, []byte{0, 0, 0}) // padded
}

// greOf puts a GRE header with those optional fields before b. Its checksum is not 0, as when a checksum inside is pending.
func greOf(flags uint16, b []byte) []byte {
	h := binary.BigEndian.AppendUint16(nil, flags)
	h = append(h, etherOf(b)...)
	for _, f := range []uint16{0x8000, 0x2000, 0x1000} {
		if flags&f != 0 {
			h = append(h, 0, 1, 0, 0)
		}
	}
	if flags&0x8000 != 0 {
		h[4] = 0xab
	}
	return append(h, b...)
}

func unsummed(payload []byte) []byte {
	b := udp(40000, 5555, payload)
	b[6], b[7] = 0, 0
	return b
}

func complete(b []byte) []byte {
	if err := packet.UpdateChecksums(b); err != nil {
		panic(err)
	}
	return b
}

// leave replaces the checksum of the packet b by the sum of its pseudo-header, as the kernel leaves it for the hardware.
func leave(b []byte) []byte {
	at := 20
	addresses := b[12:20]
	protocol := b[9]
	if b[0]>>4 == 6 {
		at, addresses, protocol = 40, b[8:40], b[6]
	}
	t := b[at:]
	sum := uint32(protocol) + uint32(len(t))
	for i := 0; i < len(addresses); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(addresses[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	field := map[byte]int{6: 16, 17: 6, 136: 6, 58: 2}[protocol]
	binary.BigEndian.PutUint16(t[field:], uint16(sum))
	return b
}

// inners are packets whose checksum the kernel may leave to the hardware, complete.
func inners() map[string][]byte {
	return map[string][]byte{
		"tcp4": complete(ip4(6, tcp(1, 2, nil, []byte("odd")))), "tcp6": complete(ip6(6, tcp(1, 2, nil, []byte("even")))),
		"udp4": complete(ip4(17, udp(1, 2, []byte("hello")))), "udp6": complete(ip6(17, udp(1, 2, []byte("hello")))),
	}
}

// The checksum that was left to the hardware is found and filled in, in the packet itself and in every tunnel.
func TestCompleteChecksum(t *testing.T) {
	check := func(name string, pending, want []byte, within int) {
		t.Helper()
		if at, err := packet.PendingChecksum(pending); at != within || err != nil {
			t.Errorf("%s: found at %d, %v, want %d", name, at, err, within)
		}
		if err := packet.CompleteChecksum(pending); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(pending, want) {
			t.Errorf("%s:\n got %x\nwant %x", name, pending, want)
		}
		if err := packet.CompleteChecksum(pending); err != nil && within > 0 || !bytes.Equal(pending, want) {
			t.Errorf("%s, completed twice: %v\n got %x\nwant %x", name, err, pending, want)
		}
	}
	for name, inner := range inners() {
		check(name, leave(bytes.Clone(inner)), inner, 0)
		for tunnel, wrap := range tunnels {
			want := complete(wrap(inner))
			pending := complete(wrap(leave(bytes.Clone(inner))))
			if want[0]>>4 == 6 && want[6] == 17 { // IPv6 has no datagram without a checksum: the kernel computes it for the complete packet
				copy(pending[46:48], want[46:48])
			}
			check(name+" in "+tunnel, pending, want, bytes.Index(want, inner))
		}
	}
}

// Where the tunnel's own checksum was left to the hardware, because what is inside is complete, nothing inside is touched.
func TestCompleteChecksumOfTunnel(t *testing.T) {
	packets := inners()
	packets["ping"] = complete(ip4(1, echo(8, 1, 1, nil)))
	for name, inner := range packets {
		for _, tunnel := range []string{"vxlan", "fou", "geneve", "vxlan 6"} {
			b := tunnels[tunnel](inner)
			b[map[byte]int{4: 26, 6: 46}[b[0]>>4]] = 1 // it has a checksum
			want := complete(bytes.Clone(b))
			leave(complete(b))
			if at, err := packet.PendingChecksum(b); at != 0 || err != nil {
				t.Errorf("%s in %s: found at %d, %v", name, tunnel, at, err)
			}
			if err := packet.CompleteChecksum(b); err != nil || !bytes.Equal(b, want) {
				t.Errorf("%s in %s: %v\n got %x\nwant %x", name, tunnel, err, b, want)
			}
		}
		b := complete(ip4(47, greOf(0x8000, inner)))
		b[24], b[25] = 0, 0 // GRE has no pseudo-header
		if at, err := packet.PendingChecksum(b); at != 20 || err != nil {
			t.Errorf("%s in gre: found at %d, %v", name, at, err)
		}
		if err := packet.CompleteChecksum(b); err != nil {
			t.Error(err)
		}
		completed := bytes.Clone(b)
		if err := packet.CompleteChecksum(b); err != nil || !bytes.Equal(b, completed) {
			t.Errorf("%s in gre, completed twice: %v\n got %x\nwant %x", name, err, b, completed)
		}
		sum := uint32(0)
		for i := 20; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(append(b[i:len(b):len(b)], 0)))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		if sum != 0xffff {
			t.Errorf("%s in gre: the checksum of the whole is %#x", name, sum)
		}
	}
}

// What cannot be read is refused, and left as it is: a guess would send a packet that the other end drops.
func TestPendingChecksumRefused(t *testing.T) {
	inner := leave(inners()["udp4"])
	wrong := bytes.Clone(inner)
	wrong[26] ^= 0x55 // neither left out nor true: somebody has changed it
	for name, b := range map[string][]byte{
		"unknown tunnel":       ip4(17, unsummed(join([]byte("l2tp header!"), inner))),
		"esp":                  ip4(50, join([]byte{0, 0, 0, 1, 0, 0, 0, 1}, inner)),
		"arp in vxlan":         ip4(17, unsummed(join([]byte{8, 0, 0, 0, 0, 0, 5, 0}, []byte{2, 0, 7, 0, 0, 1, 2, 0, 7, 0, 0, 2, 8, 6, 0, 1}))),
		"cut":                  ip4(4, inner[:len(inner)-1]),
		"header wrong":         ip4(4, join(inner[:10], []byte{1, 1}, inner[12:])),
		"pptp":                 ip4(47, join([]byte{0x30, 1, 0x88, 0x0b, 0, 0, 0, 0}, inner)),
		"routed gre":           ip4(47, join([]byte{0x40, 0, 8, 0, 0, 0, 0, 0}, inner)),
		"gre of wccp":          ip4(47, join([]byte{0x80, 0, 0x88, 0x3e, 0, 0, 0, 0}, inner)),
		"too deep":             ip4(4, complete(ip4(4, complete(ip4(4, complete(ip4(4, complete(ip4(4, inner))))))))),
		"checksum was changed": ip4(4, wrong),
		"ping":                 ip4(4, complete(ip4(1, echo(8, 1, 1, nil)))),
		"fragment":             join(ip4(4, inner)[:6], []byte{0x20, 0}, ip4(4, inner)[8:]),
	} {
		complete(b)
		before := bytes.Clone(b)
		if at, err := packet.PendingChecksum(b); !errors.Is(err, packet.ErrTunnel) {
			t.Errorf("%s: found at %d, %v", name, at, err)
		}
		if err := packet.CompleteChecksum(b); !errors.Is(err, packet.ErrTunnel) || !bytes.Equal(b, before) {
			t.Errorf("%s: %v, %x", name, err, b)
		}
	}
	if _, err := packet.PendingChecksum(nil); !errors.Is(err, packet.ErrNotIP) {
		t.Errorf("nothing: %v", err)
	}
}

// Whatever the bytes are, what is found is inside, and only what is found is changed.
func FuzzPendingChecksum(f *testing.F) {
	for _, inner := range inners() {
		for _, wrap := range tunnels {
			f.Add(complete(wrap(leave(inner))))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		within, findErr := packet.PendingChecksum(b)
		if !bytes.Equal(b, before) {
			t.Fatal("looking has changed it")
		}
		err := packet.CompleteChecksum(b)
		if (findErr == nil) != (err == nil) && !errors.Is(err, packet.ErrMalformed) {
			t.Fatalf("found at %d, %v, completed: %v", within, findErr, err)
		}
		if err != nil && !bytes.Equal(b, before) || !bytes.Equal(b[:min(within, len(b))], before[:min(within, len(b))]) {
			t.Fatalf("%v: changed %x to %x", err, before, b)
		}
	})
}
