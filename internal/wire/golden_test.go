package wire_test

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ipq/internal/sandbox"
	"ipq/internal/wire"
)

// Messages as the kernel's headers define them: what testdata/uapi.c prints.
//
//go:embed testdata/uapi.golden
var uapi string

// golden returns the message of a name. used remembers which were asked for.
func golden(t *testing.T, used map[string]bool, name string) []byte {
	t.Helper()
	for line := range strings.Lines(uapi) {
		if key, text, _ := strings.Cut(strings.TrimSpace(line), " "); key == name {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			used[name] = true
			return b
		}
	}
	t.Fatalf("testdata/uapi.golden has no %q", name)
	return nil
}

// The golden file is what a program says that is compiled against the kernel's headers of this machine.
func TestGoldenFile(t *testing.T) {
	littleEndian(t)
	gcc, err := exec.LookPath("gcc")
	sandbox.Require(t, "gcc", err == nil, "a C compiler checks the golden bytes against the kernel's headers")
	if _, err := os.Stat("/usr/include/linux/netfilter/nfnetlink_queue.h"); err != nil {
		sandbox.Require(t, "gcc", false, "the kernel's headers are missing: "+err.Error())
	}
	program := filepath.Join(t.TempDir(), "uapi")
	if out, err := exec.Command(gcc, "-Wall", "-Werror", "-o", program, "testdata/uapi.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != uapi {
		t.Errorf("testdata/uapi.golden is not what testdata/uapi.c prints here:\n%s", out)
	}
}

const (
	secctx = "unconfined_u:unconfined_r:unconfined_t:s0"
	every  = wire.FlagFailOpen | wire.FlagConntrack | wire.FlagGSO | wire.FlagUIDGID | wire.FlagSecCtx
)

var goldenConfigs = map[string]struct {
	seq    uint32
	config wire.Config
}{
	"config-bind": {7, wire.Config{Queue: 5, Cmd: wire.CmdBind, SetParams: true, CopyMode: wire.CopyPacket, CopyRange: wire.MaxPayload,
		MaxLen: 4096, Mask: every, Flags: wire.FlagConntrack | wire.FlagUIDGID}},
	"config-unbind": {8, wire.Config{Queue: 65535, Cmd: wire.CmdUnbind}},
	"config-meta":   {9, wire.Config{SetParams: true, CopyMode: wire.CopyMeta}},
	"config-none":   {10, wire.Config{SetParams: true, CopyMode: wire.CopyNone, CopyRange: 0x123456}},
}

var goldenVerdicts = map[string]wire.Verdict{
	"verdict-accept":       {Queue: 5, Verdict: wire.NFAccept, ID: 1},
	"verdict-drop":         {Queue: 5, Verdict: wire.NFDrop, ID: 0xfffefdfc},
	"verdict-stop":         {Queue: 5, Verdict: wire.NFStop, ID: 2},
	"verdict-repeat-mark":  {Queue: 5, Verdict: wire.NFRepeat, ID: 3, SetMark: true, Mark: 0x11223344},
	"verdict-queue":        {Queue: 5, Verdict: wire.NFQueue | 0x1234<<16, ID: 4},
	"verdict-queue-bypass": {Queue: 5, Verdict: wire.NFQueue | 65535<<16 | wire.NFQueueBypass, ID: 5},
	"verdict-connmark":     {Queue: 5, Verdict: wire.NFAccept, ID: 6, ConnMark: 0x0a, ConnMarkMask: 0xff},
	"verdict-labels": {Queue: 5, Verdict: wire.NFAccept, ID: 9,
		ConnLabels:     wire.Labels{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		ConnLabelsMask: wire.Labels{255, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255}},
	"verdict-payload": {Queue: 5, Verdict: wire.NFAccept, ID: 7, SetPayload: true, Payload: []byte("fives")},
	"verdict-everything": {Queue: 65535, Verdict: wire.NFAccept, ID: 8, SetMark: true, ConnMarkMask: 0xffffffff,
		SetPayload: true, Payload: []byte("eight888")},
	"verdict-batch":      {Queue: 5, Verdict: wire.NFAccept, ID: 64},
	"verdict-batch-mark": {Queue: 5, Verdict: wire.NFDrop, ID: 64, SetMark: true, Mark: 0xdeadbeef},
}

var mac = []byte{2, 0, 7, 0, 0, 1}

var goldenPackets = map[string]wire.Packet{
	"packet-least": {Family: 2, Hook: 3, HWProto: 0x0800, ID: 1, Fields: wire.HasPayload, Payload: []byte("1")},
	"packet-meta":  {Family: 10, Hook: 4, HWProto: 0x86dd, ID: 2, Out: 3},
	"packet-full": {Family: 2, Hook: 1, HWProto: 0x0800, ID: 0xfffffffe, In: 2, Out: 0x01020304,
		Fields: wire.HasMark | wire.HasPriority | wire.HasHWAddr | wire.HasTimestamp | wire.HasUID | wire.HasGID | wire.HasCgroup |
			wire.HasCapLen | wire.HasSKBInfo | wire.HasPayload,
		Mark: 0xa1b2c3d4, Priority: 0x00010006, HWAddr: mac, Sec: 0x0102030405060708, Usec: 999999, UID: 1000, GID: 0xfffffffe,
		CgroupClass: 0x00100001, CapLen: 1500, SKBInfo: wire.SKBChecksumNotReady | wire.SKBGSO | wire.SKBChecksumNotVerified,
		Payload: []byte("seven77")},
	"packet-bridge": {Family: 7, Hook: 2, HWProto: 0x0800, ID: 4, In: 10, PhysIn: 11, Out: 10, PhysOut: 12,
		Fields: wire.HasHWAddr | wire.HasVLAN | wire.HasL2Header | wire.HasPayload, HWAddr: mac, VLANProto: 0x8100, VLANTCI: 0x600a,
		L2Header: []byte{2, 0, 7, 0, 0, 2, 2, 0, 7, 0, 0, 1, 8, 0}, Payload: []byte("bridge")},
	"packet-hwaddr8": {Family: 2, Hook: 0, HWProto: 0x0800, ID: 5, Fields: wire.HasHWAddr, HWAddr: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
	"packet-secctx": {Family: 2, Hook: 3, HWProto: 0x0800, ID: 6, Fields: wire.HasSecCtx | wire.HasPayload, SecCtx: []byte(secctx),
		Payload: []byte("4444")},
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// The packets that carry a connection, without it.
var goldenConntracks = map[string]struct {
	packet    wire.Packet
	conntrack wire.Conntrack
}{
	"packet-conntrack-tcp": {
		wire.Packet{Family: 2, Hook: 2, HWProto: 0x0800, ID: 7, CTInfo: 3, Payload: []byte("tcp"),
			Fields: wire.HasCT | wire.HasCTInfo | wire.HasPayload},
		wire.Conntrack{
			Orig:   wire.Tuple{Src: addr("10.7.0.2"), Dst: addr("192.0.2.7"), Proto: 6, SrcPort: 40000, DstPort: 443},
			Reply:  wire.Tuple{Src: addr("192.0.2.7"), Dst: addr("198.51.100.1"), Proto: 6, SrcPort: 443, DstPort: 61000},
			Status: 1<<1 | 1<<2 | 1<<3 | 1<<4, Mark: 0x0badcafe, Zone: 77, ID: 0xcafef00d},
	},
	"packet-conntrack-icmp": {
		wire.Packet{Family: 2, Hook: 3, HWProto: 0x0800, ID: 8, CTInfo: 2, Payload: []byte("icmp"),
			Fields: wire.HasCT | wire.HasCTInfo | wire.HasPayload},
		wire.Conntrack{
			Orig:  wire.Tuple{Src: addr("10.7.0.2"), Dst: addr("192.0.2.7"), Proto: 1, ICMPType: 8, ICMPID: 0x1234},
			Reply: wire.Tuple{Src: addr("192.0.2.7"), Dst: addr("10.7.0.2"), Proto: 1, ICMPType: 0, ICMPID: 0x1234}, ID: 1},
	},
	"packet-conntrack-icmpv6": {
		wire.Packet{Family: 10, Hook: 1, HWProto: 0x86dd, ID: 9, CTInfo: 1, Fields: wire.HasCT | wire.HasCTInfo},
		wire.Conntrack{
			Orig:   wire.Tuple{Src: addr("fd07::2"), Dst: addr("2001:db8::7"), Proto: 58, ICMPType: 128, ICMPCode: 1, ICMPID: 0xfedc},
			Reply:  wire.Tuple{Src: addr("2001:db8::7"), Dst: addr("fd07::2"), Proto: 58, ICMPType: 129, ICMPCode: 1, ICMPID: 0xfedc},
			Status: 1 << 3, ID: 2},
	},
	"packet-conntrack-udp6": {
		wire.Packet{Family: 10, Hook: 1, HWProto: 0x86dd, ID: 10, CTInfo: 4, Fields: wire.HasCT | wire.HasCTInfo},
		wire.Conntrack{
			Orig:  wire.Tuple{Src: addr("fd07::2"), Dst: addr("::ffff:192.0.2.7"), Proto: 17, SrcPort: 53, DstPort: 65535},
			Reply: wire.Tuple{Src: addr("::ffff:192.0.2.7"), Dst: addr("fd07::2"), Proto: 17, SrcPort: 65535, DstPort: 53},
			Zone:  65535, ID: 3, Mark: 1},
	},
}

var goldenErrors = map[string]wire.Error{
	"ack":          {Request: wire.Header{Len: 40, Type: wire.TypeConfig, Flags: wire.FlagRequest | wire.FlagAck, Seq: 7, Port: 4711}},
	"error-eperm":  {Errno: 1, Request: wire.Header{Len: 40, Type: wire.TypeConfig, Flags: wire.FlagRequest | wire.FlagAck, Seq: 7, Port: 4711}},
	"error-enoent": {Errno: 2, Request: wire.Header{Len: 40, Type: wire.TypeVerdict, Flags: wire.FlagRequest, Seq: 0xfffffffe, Port: 4711}},
}

// appendVerdict appends the message with its payload behind it.
func appendVerdict(b []byte, name string, v wire.Verdict) []byte {
	if strings.HasPrefix(name, "verdict-batch") {
		return wire.AppendVerdictBatch(b, v.Queue, v.Verdict, v.ID, v.SetMark, v.Mark)
	}
	return append(wire.AppendVerdict(b, &v), v.Payload...)
}

// Every message that ipq or its fake kernel sends is, byte for byte, what the kernel's headers say; and every line of the
// golden file is tested.
func TestGolden(t *testing.T) {
	littleEndian(t)
	used := make(map[string]bool)
	check := func(name string, encode func(b []byte) []byte) (body []byte) {
		t.Helper()
		want := golden(t, used, name)
		before := []byte("a message before")
		if got := encode(before[:len(before):len(before)]); !bytes.Equal(got, append(before, want...)) {
			t.Errorf("%s\n got %x\nwant %x", name, got[len(before):], want)
		}
		h, body, rest, ok, err := wire.Next(want)
		if !ok || err != nil || len(rest) != 0 || int(h.Len) != len(want) {
			t.Fatalf("%s: Next: %+v, %d bytes left, %v, %v", name, h, len(rest), ok, err)
		}
		return body
	}
	for name, g := range goldenConfigs {
		body := check(name, func(b []byte) []byte { return wire.AppendConfig(b, g.config, g.seq) })
		if got, err := wire.DecodeConfig(body); err != nil || got != g.config {
			t.Errorf("%s: decoded %+v, %v, want %+v", name, got, err, g.config)
		}
	}
	for name, want := range goldenVerdicts {
		body := check(name, func(b []byte) []byte { return appendVerdict(b, name, want) })
		var got wire.Verdict
		if err := wire.DecodeVerdict(&got, body); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: decoded %+v, %v, want %+v", name, got, err, want)
		}
	}
	for name, want := range goldenPackets {
		want.Queue = 5
		body := check(name, func(b []byte) []byte { return wire.AppendPacket(b, &want) })
		var got wire.Packet
		if identified, err := wire.DecodePacket(&got, body); err != nil || !identified || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: decoded %+v, %v, %v, want %+v", name, got, identified, err, want)
		}
	}
	for name, g := range goldenConntracks {
		g.packet.Queue, g.packet.CT = 5, wire.AppendConntrack(nil, &g.conntrack)
		body := check(name, func(b []byte) []byte { return wire.AppendPacket(b, &g.packet) })
		var got wire.Packet
		if identified, err := wire.DecodePacket(&got, body); err != nil || !identified || !reflect.DeepEqual(got, g.packet) {
			t.Errorf("%s: decoded %+v, %v, %v, want %+v", name, got, identified, err, g.packet)
		}
		if ct, err := wire.DecodeConntrack(got.CT); err != nil || ct != g.conntrack {
			t.Errorf("%s: connection %+v, %v, want %+v", name, ct, err, g.conntrack)
		}
	}
	for name, want := range goldenErrors {
		body := check(name, func(b []byte) []byte { return wire.AppendError(b, want) })
		if got, err := wire.DecodeError(body); err != nil || got != want {
			t.Errorf("%s: decoded %+v, %v, want %+v", name, got, err, want)
		}
	}
	check("overrun", wire.AppendOverrun)

	// What else the kernel says about a connection is passed over.
	var p wire.Packet
	_, body, _, _, _ := wire.Next(golden(t, used, "packet-conntrack-more"))
	if _, err := wire.DecodePacket(&p, body); err != nil {
		t.Error(err)
	}
	want := wire.Conntrack{
		Orig:   wire.Tuple{Src: addr("10.7.0.2"), Dst: addr("192.0.2.7"), Proto: 6, SrcPort: 40000, DstPort: 443},
		Reply:  wire.Tuple{Src: addr("192.0.2.7"), Dst: addr("10.7.0.2"), Proto: 6, SrcPort: 443, DstPort: 40000},
		Status: 1 << 3, ID: 4, HasLabels: true, Labels: wire.Labels{0: 1, 7: 128, 15: 1}}
	if ct, err := wire.DecodeConntrack(p.CT); err != nil || ct != want {
		t.Errorf("packet-conntrack-more: %+v, %v, want %+v", ct, err, want)
	}

	for line := range strings.Lines(uapi) {
		if name, _, _ := strings.Cut(line, " "); !used[name] {
			t.Errorf("nothing tests %s", name)
		}
	}
}
