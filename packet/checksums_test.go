package packet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"ipq/packet"
)

// agree checks UpdateChecksums against its slow twin on b.
func agree(t *testing.T, b []byte) {
	t.Helper()
	got := bytes.Clone(b)
	err := packet.UpdateChecksums(got)
	want, ok := slowUpdate(b)
	if (err == nil) != ok {
		t.Fatalf("UpdateChecksums(%x) = %v, the twin says %v", b, err, ok)
	}
	if err != nil {
		want = b
		if !errors.Is(err, packet.ErrNotIP) && !errors.Is(err, packet.ErrTruncated) && !errors.Is(err, packet.ErrMalformed) {
			t.Errorf("error without a cause: %v", err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("UpdateChecksums(%x), error %v:\n got %x\nwant %x", b, err, got, want)
	}
	if err == nil {
		if packet.UpdateChecksums(got); !bytes.Equal(got, want) {
			t.Fatalf("a second UpdateChecksums changed %x to %x", want, got)
		}
	}
}

func TestUpdateChecksumsAgreesWithTwin(t *testing.T) {
	for name, b := range samples() {
		t.Run(name, func(t *testing.T) {
			agree(t, b)
			if name == "route6 odd" || name == "route6 uneven" {
				return
			}
			if err := packet.UpdateChecksums(b); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Every length and alignment that the unrolled sum distinguishes, with contents that carry a lot.
func TestUpdateChecksumsAllSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < 300; n++ {
		for _, fill := range []func() byte{
			func() byte { return 0xff }, func() byte { return 0 }, func() byte { return byte(r.Uint32()) },
		} {
			payload := make([]byte, n)
			for i := range payload {
				payload[i] = fill()
			}
			agree(t, ip4(17, udp(1, 2, payload)))
			agree(t, ip4(1, append(make([]byte, 8), payload...)))
			agree(t, ip6(6, tcp(3, 4, nil, payload)))
			agree(t, ip4(132, sctp(3, 4, payload)))
		}
	}
	big := make([]byte, 65535-8)
	for i := range big {
		big[i] = 0xff
	}
	agree(t, ip4(17, udp(1, 2, big[:65535-28])))
	agree(t, ip6(17, udp(1, 2, big)))
}

// The checksum that comes out as 0 is the corner of the arithmetic: make it happen by choosing two payload bytes.
func TestUpdateChecksumsZero(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		at   int
		want uint16
	}{
		{"udp4", ip4(17, udp(1, 2, []byte{0, 0})), 26, 0xffff},
		{"udp6", ip6(17, udp(1, 2, []byte{0, 0})), 46, 0xffff},
		{"udplite4", ip4(136, udp(1, 2, []byte{0, 0})), 26, 0xffff},
		{"tcp4", ip4(6, tcp(1, 2, nil, []byte{0, 0})), 36, 0},
		{"icmp4", ip4(1, echo(8, 1, 1, []byte{0, 0})), 22, 0},
		{"icmp6", ip6(58, echo(128, 1, 1, []byte{0, 0})), 42, 0},
	} {
		if err := packet.UpdateChecksums(c.b); err != nil {
			t.Fatal(err)
		}
		// Adding the checksum to the data makes the sum 0xffff.
		copy(c.b[len(c.b)-2:], c.b[c.at:c.at+2])
		agree(t, c.b)
		packet.UpdateChecksums(c.b)
		if got := binary.BigEndian.Uint16(c.b[c.at:]); got != c.want {
			t.Errorf("%s: checksum %#x, want %#x", c.name, got, c.want)
		}
	}
}

// An IPv4 UDP checksum of 0 means "none" and must survive; in IPv6 there is no "none".
func TestUpdateChecksumsUDPWithout(t *testing.T) {
	all := samples()
	b := all["udp4 no sum"]
	if err := packet.UpdateChecksums(b); err != nil {
		t.Fatal(err)
	}
	if b[26] != 0 || b[27] != 0 {
		t.Errorf("IPv4: a datagram without a checksum got %x", b[26:28])
	}
	b = all["udp6 no sum"]
	if err := packet.UpdateChecksums(b); err != nil {
		t.Fatal(err)
	}
	if b[46] == 0 && b[47] == 0 {
		t.Error("IPv6: the checksum is still 0")
	}
}

func TestUpdateChecksumsLeavesFragments(t *testing.T) {
	for _, name := range []string{"first4", "later4", "first6", "later6"} {
		b := samples()[name]
		before := bytes.Clone(b)
		if err := packet.UpdateChecksums(b); err != nil {
			t.Fatal(name, err)
		}
		header := 20
		if b[0]>>4 == 6 {
			header = 0
		}
		if !bytes.Equal(b[header:], before[header:]) {
			t.Errorf("%s: bytes behind the IP header changed", name)
		}
	}
}

// golden packets: bytes that other software made. See the comment of each.
func TestUpdateChecksumsGolden(t *testing.T) {
	for name, text := range golden {
		want := unhex(t, text)
		got := bytes.Clone(want)
		if err := packet.UpdateChecksums(got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", name, got, want)
		}
		if err := packet.CheckLengths(got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzUpdateChecksums(f *testing.F) {
	for _, b := range samples() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		agree(t, b)
		b = bytes.Clone(b)
		// The same bytes with their length field made to fit get further.
		if len(b) >= 40 && b[0]>>4 == 6 {
			binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
			agree(t, b)
		} else if len(b) >= 20 && b[0]>>4 == 4 {
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			agree(t, b)
		}
	})
}
