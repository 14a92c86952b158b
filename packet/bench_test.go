package packet_test

import (
	"net/netip"
	"testing"

	"ipq/packet"
)

// The path of every packet allocates nothing.
func TestAllocations(t *testing.T) {
	all := samples()
	var h packet.Headers
	room := make([]byte, 4096)
	data := make([]byte, 1000)
	pending, unknown := complete(tunnels["geneve ip"](leave(inners()["udp4"]))), complete(ip4(50, data))
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for name, f := range map[string]func(){
		"UpdateChecksums": func() {
			for _, n := range []string{"udp4", "tcp6", "chain6", "sctp4", "icmp6", "udplite4"} {
				if packet.UpdateChecksums(all[n]) != nil {
					t.Fatal(n)
				}
			}
		},
		"CompleteChecksum": func() {
			for _, b := range [][]byte{room[:copy(room, pending)], unknown} {
				within, err := packet.PendingChecksum(b)
				if again := packet.CompleteChecksum(b); (within == 36) != (err == nil) || again != err {
					t.Fatal(within, err, again)
				}
			}
		},
		"CheckLengths": func() {
			if packet.CheckLengths(all["tcp6"]) != nil {
				t.Fatal("tcp6")
			}
		},
		"Parse": func() {
			for _, n := range []string{"udp4", "tcp6", "chain6", "later6", "first4", "icmp4"} {
				h.Parse(all[n])
				h.Payload()
				h.TCPOptions()
			}
		},
		"edits": func() {
			h.Parse(all["tcp4"])
			if h.SetSrc(four) != nil || h.SetDst(four) != nil || h.SetSrcPort(1) != nil || h.SetDstPort(2) != nil || h.SetTTL(3) != nil ||
				h.SetTOS(4) != nil || h.SetSeq(5) != nil || h.SetFlags(6) != nil || h.SetWindow(7) != nil {
				t.Fatal("tcp4")
			}
			h.Parse(all["udp6"])
			if h.SetSrc(six) != nil || h.SetDst(six) != nil {
				t.Fatal("udp6")
			}
		},
		"SetPayload": func() {
			h.Parse(room[:copy(room, all["udp4"])])
			if _, err := h.SetPayload(data); err != nil {
				t.Fatal(err)
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkUpdateChecksums(b *testing.B) {
	for _, c := range []struct {
		name string
		p    []byte
	}{
		{"udp4/100", udp4OfSize(100)}, {"udp4/1500", udp4OfSize(1500)}, {"udp4/65531", udp4OfSize(65531)},
		{"udp6/100", udp6OfSize(100)}, {"tcp4/100", tcp4OfSize(100)}, {"tcp4/1500", tcp4OfSize(1500)},
		{"sctp4/1500", ip4(132, sctp(1, 2, make([]byte, 1468)))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.p)))
			for b.Loop() {
				if err := packet.UpdateChecksums(c.p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheckLengths(b *testing.B) {
	p := udp4OfSize(100)
	for b.Loop() {
		if err := packet.CheckLengths(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	all := samples()
	// The longest walk that a 1500-byte packet can ask for.
	var walk []byte
	for range 180 {
		walk = append(walk, 60, 0, 1, 4, 0, 0, 0, 0)
	}
	all["180 extensions"] = ip6(60, walk)
	for _, name := range []string{"udp4", "tcp4", "udp6", "chain6", "180 extensions"} {
		b.Run(name, func(b *testing.B) {
			var h packet.Headers
			for b.Loop() {
				h.Parse(all[name])
			}
		})
	}
}

func BenchmarkSetDst(b *testing.B) {
	for _, name := range []string{"udp4", "udp6"} {
		b.Run(name, func(b *testing.B) {
			var h packet.Headers
			h.Parse(samples()[name])
			addr := h.Dst
			for b.Loop() {
				if err := h.SetDst(addr); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSetPayload(b *testing.B) {
	p, data := udp4OfSize(100), make([]byte, 72)
	var h packet.Headers
	for b.Loop() {
		h.Parse(p)
		if _, err := h.SetPayload(data); err != nil {
			b.Fatal(err)
		}
	}
}
