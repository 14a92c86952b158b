package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"ipq/internal/wire"
)

// littleEndian skips tests whose bytes were recorded on x86.
func littleEndian(t *testing.T) {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the golden bytes are little-endian, this machine is not")
	}
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func device(name string) (d [wire.IPQNameSize]byte) {
	copy(d[:], name)
	return d
}

// The same packet, an ICMP echo that came in through lo, as a 64-bit and a
// 32-bit kernel 3.4.10 passed it on.
func TestIPQGoldenPacket(t *testing.T) {
	littleEndian(t)
	payload := "45000030"
	for _, test := range []struct {
		layout wire.IPQLayout
		golden string
		packet wire.IPQPacket
	}{
		{wire.IPQ64, `a0000000 1300 0000 00000000 00000000
			e0e4301e0088ffff 0000000000000000 c6a4036b00000000 5b77010000000000 01000000
			6c6f0000000000000000000000000000 00000000000000000000000000000000
			0800 0403 06 0000000000000000 00000000000000 3000000000000000`,
			wire.IPQPacket{ID: 0xffff88001e30e4e0, Sec: 0x6b03a4c6, Usec: 0x1775b, Hook: 1, In: device("lo"),
				HWProtocol: 0x0800, HWType: 772, HWAddrLen: 6, DataLen: 0x30}},
		{wire.IPQ32, `88000000 1300 0000 00000000 00000000
			8082b1de 00000000 daa4036b 0f870b00 01000000
			6c6f0000000000000000000000000000 00000000000000000000000000000000
			0800 0403 06 0000000000000000 000000 30000000`,
			wire.IPQPacket{ID: 0xdeb18280, Sec: 0x6b03a4da, Usec: 0xb870f, Hook: 1, In: device("lo"),
				HWProtocol: 0x0800, HWType: 772, HWAddrLen: 6, DataLen: 0x30}},
	} {
		want := fromHex(t, test.golden)
		got := bytes.Repeat([]byte{0xee}, wire.IPQHeaderSize+96) // what was there before must not show
		n := test.layout.PutPacket(got, &test.packet)
		if !bytes.Equal(got[:n], want) {
			t.Errorf("%d-bit packet:\n got %x\nwant %x", 8*test.layout, got[:n], want)
		}
		whole := append(want, append(fromHex(t, payload), make([]byte, 0x30-4)...)...)
		back, rest, err := test.layout.DecodePacket(whole)
		if err != nil || back != test.packet || len(rest) != 0x30 || !bytes.HasPrefix(rest, fromHex(t, payload)) {
			t.Errorf("%d-bit packet read back: %+v, %x, %v", 8*test.layout, back, rest, err)
		}
		if _, _, err := test.layout.DecodePacket(whole[:len(whole)-1]); !errors.Is(err, wire.ErrIPQShort) {
			t.Errorf("%d-bit packet with a byte of its payload missing: %v", 8*test.layout, err)
		}
	}
}

// Requests that the recording programs sent.
func TestIPQGoldenRequests(t *testing.T) {
	littleEndian(t)
	header := wire.IPQHeader{Type: wire.IPQTypeMode, Flags: wire.IPQFlagRequest | wire.IPQFlagAck, Seq: 0x01020304, PID: 700}
	for _, test := range []struct {
		name   string
		got    []byte
		golden string
	}{
		{"64-bit mode",
			wire.IPQ64.AppendMode(wire.AppendIPQMessage(nil, header, 24), wire.IPQMode{Value: 2, Range: 0x1234}),
			`28000000 1100 0500 04030201 bc020000 0200000000000000 3412000000000000 0000000000000000`},
		{"32-bit mode",
			wire.IPQ32.AppendMode(wire.AppendIPQMessage(nil, header, 12), wire.IPQMode{Value: 2, Range: 0x1234}),
			`1c000000 1100 0500 04030201 bc020000 02000000 34120000 00000000`},
		{"64-bit verdict",
			wire.IPQ64.AppendVerdict(nil, wire.IPQVerdict{Value: 3, ID: 0xffff88001e3264e0, DataLen: 2, Payload: []byte{0x45, 0}}),
			`0300000000000000 e064321e0088ffff 0200000000000000 4500`},
		{"32-bit verdict",
			wire.IPQ32.AppendVerdict(nil, wire.IPQVerdict{Value: 3, ID: 0xdeb18280, DataLen: 2, Payload: []byte{0x45, 0}}),
			`03000000 8082b1de 02000000 4500`},
	} {
		if want := fromHex(t, test.golden); !bytes.Equal(test.got, want) {
			t.Errorf("%s:\n got %x\nwant %x", test.name, test.got, want)
		}
	}
}

// Answers of a kernel 3.4.10: an acknowledgement, a refused mode, and a request
// of 39 bytes, whose answer is padded without nlmsg_len saying so.
func TestIPQGoldenErrors(t *testing.T) {
	littleEndian(t)
	for _, test := range []struct {
		name    string
		errno   int32
		port    uint32
		request string
		golden  string
	}{
		{"acknowledgement", 0, 700,
			`28000000 1100 0500 04030201 bc020000 020000000000000000000000000000000000000000000000`,
			`24000000 0200 0000 04030201 bc020000 00000000 28000000 1100 0500 04030201 bc020000`},
		{"EINVAL", 22, 700,
			`28000000 1100 0100 04030201 bc020000 030000000000000007000000000000000000000000000000`,
			`3c000000 0200 0000 04030201 bc020000 eaffffff 28000000 1100 0100 04030201 bc020000 030000000000000007000000000000000000000000000000`},
		{"EINVAL to 39 bytes", 22, 700,
			`27000000 1100 0500 04030201 bc020000 0100000000000000000000000000000000000000000000`,
			`3b000000 0200 0000 04030201 bc020000 eaffffff 27000000 1100 0500 04030201 bc020000 0100000000000000000000000000000000000000000000 00`},
		{"another port than the sender's", 0, 901,
			`28000000 1100 0500 04030201 86030000 020000000000000000000000000000000000000000000000`,
			`24000000 0200 0000 04030201 85030000 00000000 28000000 1100 0500 04030201 86030000`},
	} {
		request, want := fromHex(t, test.request), fromHex(t, test.golden)
		got := wire.AppendIPQError(nil, test.errno, test.port, request)
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", test.name, got, want)
		}
		back, err := wire.DecodeIPQError(got)
		if err != nil || back.Errno != test.errno || back.PID != test.port || back.Seq != 0x01020304 || !bytes.HasPrefix(request, back.Request) {
			t.Errorf("%s read back: %+v, %v", test.name, back, err)
		}
	}
}

func TestIPQSizes(t *testing.T) {
	for _, test := range []struct {
		layout                wire.IPQLayout
		packet, verdict, mode int
	}{{wire.IPQ32, 72, 12, 8}, {wire.IPQ64, 96, 24, 16}} {
		if p, v, m := test.layout.PacketSize(), test.layout.VerdictSize(), test.layout.ModeSize(); p != test.packet || v != test.verdict || m != test.mode {
			t.Errorf("%d-bit structures have %d, %d, %d bytes, want %+v", 8*test.layout, p, v, m, test)
		}
	}
}

// Whatever can be read is written back as the same bytes.
func FuzzIPQRoundTrip(f *testing.F) {
	f.Add(true, make([]byte, 112), []byte("payload"))
	f.Add(false, bytes.Repeat([]byte{0xff}, 90), []byte{})
	f.Fuzz(func(t *testing.T, long bool, b, extra []byte) {
		layout := wire.IPQ32
		if long {
			layout = wire.IPQ64
		}
		if h, err := wire.DecodeIPQHeader(b); err == nil {
			put := make([]byte, wire.IPQHeaderSize)
			h.Put(put)
			if !bytes.Equal(put, b[:wire.IPQHeaderSize]) {
				t.Fatalf("header %x became %x", b[:wire.IPQHeaderSize], put)
			}
		} else if len(b) >= wire.IPQHeaderSize {
			t.Fatalf("header of %d bytes: %v", len(b), err)
		}
		if v, err := layout.DecodeVerdict(b); err == nil {
			again, err := layout.DecodeVerdict(layout.AppendVerdict(bytes.Clone(extra), v)[len(extra):])
			if err != nil || again.Value != v.Value || again.ID != v.ID || again.DataLen != v.DataLen || !bytes.Equal(again.Payload, v.Payload) {
				t.Fatalf("verdict %+v became %+v, %v", v, again, err)
			}
		}
		if m, err := layout.DecodeMode(b); err == nil {
			if again, err := layout.DecodeMode(layout.AppendMode(nil, m)); err != nil || again != m {
				t.Fatalf("mode %+v became %+v, %v", m, again, err)
			}
		} else if len(b) >= layout.VerdictSize() {
			t.Fatalf("mode of %d bytes: %v", len(b), err)
		}
		if p, payload, err := layout.DecodePacket(b); err == nil {
			put := make([]byte, wire.IPQHeaderSize+layout.PacketSize())
			layout.PutPacket(put, &p)
			again, payload2, err := layout.DecodePacket(append(put, payload...))
			if err != nil || again != p || !bytes.Equal(payload, payload2) {
				t.Fatalf("packet %+v became %+v, %v", p, again, err)
			}
			if h, _ := wire.DecodeIPQHeader(put); int(h.Len) != wire.IPQAlign(len(put)+len(payload)) || h.Type != wire.IPQTypePacket {
				t.Fatalf("header of a packet with %d bytes of payload: %+v", len(payload), h)
			}
		}
		if e, err := wire.DecodeIPQError(b); err == nil && len(e.Request) >= wire.IPQHeaderSize {
			again, err := wire.DecodeIPQError(wire.AppendIPQError(nil, e.Errno, e.PID, e.Request))
			if e.Errno == 0 {
				e.Request = e.Request[:wire.IPQHeaderSize]
			}
			if err != nil || again.Errno != e.Errno || again.PID != e.PID || !bytes.Equal(again.Request, e.Request) {
				t.Fatalf("error %+v became %+v, %v", e, again, err)
			}
		}
	})
}
