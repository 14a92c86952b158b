package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"ipq/internal/wire"
)

// seeds adds every golden message, and its body alone.
func seeds(f *testing.F) {
	for line := range strings.Lines(uapi) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[wire.HeaderSize:])
	}
	f.Add([]byte{})
	f.Add([]byte{2, 0, 0, 5, 3, 0, 1, 0})
	// A packet with half a VLAN, one with a VLAN attribute from the future, and one that comes after itself.
	for _, vlan := range []string{"0900138006000100810001", "0a001380040063000600", "0c001380060001008100000008000300000000010c0013800600010088a80000"} {
		b, err := hex.DecodeString("07000005" + "0b000100000000040800020008000a00" + vlan)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// inside reports whether a view lies within the bytes that it is of, capacity and all.
func inside(view, of []byte) bool {
	if cap(view) == 0 {
		return true
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(view)))
	base := uintptr(unsafe.Pointer(unsafe.SliceData(of)))
	return at >= base && at+uintptr(cap(view)) <= base+uintptr(len(of))
}

// roomy is b with something behind it that no decoder may touch or hand out.
func roomy(b []byte) []byte {
	return append(bytes.Clone(b), bytes.Repeat([]byte{0xee}, 32)...)[:len(b)]
}

// same compares two packets; empty and absent bytes are told apart by Fields.
func same(a, b wire.Packet) bool {
	for _, s := range []*[]byte{&a.HWAddr, &a.SecCtx, &a.L2Header, &a.CT, &a.Payload, &b.HWAddr, &b.SecCtx, &b.L2Header, &b.CT, &b.Payload} {
		if len(*s) == 0 {
			*s = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

func body(t *testing.T, message []byte) []byte {
	t.Helper()
	h, body, rest, ok, err := wire.Next(message)
	if !ok || err != nil || int(h.Len) != len(message) || len(rest) != 0 {
		t.Fatalf("an encoded message cannot be split: %+v, %v, %v, %d left", h, ok, err, len(rest))
	}
	return body
}

// Messages follow each other without a gap or an overlap, and only a header that asks for more than there is is a fault.
func FuzzNext(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		in = roomy(in)
		h, body, rest, ok, err := wire.Next(in)
		if ok == (err != nil) && len(in) > 0 {
			t.Fatalf("ok %v, error %v", ok, err)
		}
		fits := len(in) >= 16 && binary.NativeEndian.Uint32(in) >= 16 && uint64(binary.NativeEndian.Uint32(in)) <= uint64(len(in))
		if ok != fits {
			t.Fatalf("ok %v, want %v (%v)", ok, fits, err)
		}
		if !ok {
			if err != nil && !errors.Is(err, wire.ErrShort) {
				t.Fatal(err)
			}
			return
		}
		if !inside(body, in) || len(body) != int(h.Len)-16 {
			t.Fatalf("a body of %d bytes, the header says %d with itself", len(body), h.Len)
		}
		if pad := len(in) - 16 - len(body) - len(rest); pad < 0 || pad > 3 || pad > 0 && len(rest) > 0 && (int(h.Len)+pad)%4 != 0 {
			t.Fatalf("%d bytes between the message and the rest", pad)
		}
		if len(rest) > 0 && !inside(rest[:len(rest):len(rest)], in) {
			t.Fatal("the rest is outside")
		}
	})
}

// What DecodePacket reads is what the slow twin reads, faults included; it encodes to a message that decodes to the same.
func FuzzDecodePacket(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		in = roomy(in)
		got := wire.Packet{ID: 0xdead, Payload: []byte("left over")}
		identified, err := wire.DecodePacket(&got, in)
		want, wantIdentified, fault := slowPacket(in)
		if identified != wantIdentified || (err != nil) != fault || !same(got, want) {
			t.Fatalf("got %+v, identified %v, %v\nwant %+v, identified %v, fault %v", got, identified, err, want, wantIdentified, fault)
		}
		if err != nil && !errors.Is(err, wire.ErrShort) {
			t.Fatal(err)
		}
		for _, v := range [][]byte{got.HWAddr, got.SecCtx, got.L2Header, got.CT, got.Payload} {
			if !inside(v, in) {
				t.Fatalf("%x is outside of the message", v)
			}
		}
		if err != nil {
			return
		}
		var again wire.Packet
		if _, err := wire.DecodePacket(&again, body(t, wire.AppendPacket(nil, &got))); err != nil || !same(again, got) {
			t.Fatalf("decoded again %+v, %v\nwant %+v", again, err, got)
		}
	})
}

func FuzzDecodeVerdict(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		in = roomy(in)
		got := wire.Verdict{ID: 0xdead, Payload: []byte("left over"), SetMark: true}
		err := wire.DecodeVerdict(&got, in)
		want, fault := slowVerdict(in)
		if (err != nil) != fault || err == nil && !(reflect.DeepEqual(got, want) || len(got.Payload) == 0 && len(want.Payload) == 0) {
			t.Fatalf("got %+v, %v\nwant %+v, fault %v", got, err, want, fault)
		}
		if !inside(got.Payload, in) {
			t.Fatal("the payload is outside of the message")
		}
		if err != nil {
			return
		}
		if got.ConnMarkMask == 0 {
			got.ConnMark = 0 // a mark without a mask is never sent
		}
		if got.ConnLabelsMask == (wire.Labels{}) {
			got.ConnLabels = wire.Labels{}
		}
		var again wire.Verdict
		message := append(wire.AppendVerdict(nil, &got), got.Payload...)
		if err := wire.DecodeVerdict(&again, body(t, message)); err != nil || !bytes.Equal(again.Payload, got.Payload) {
			t.Fatalf("decoded again %+v, %v\nwant %+v", again, err, got)
		}
		again.Payload, got.Payload = nil, nil
		if !reflect.DeepEqual(again, got) {
			t.Fatalf("decoded again %+v\nwant %+v", again, got)
		}
		batch := wire.AppendVerdictBatch(nil, got.Queue, got.Verdict, got.ID, got.SetMark, got.Mark)
		got = wire.Verdict{Queue: got.Queue, Verdict: got.Verdict, ID: got.ID, SetMark: got.SetMark, Mark: got.Mark}
		if err := wire.DecodeVerdict(&again, body(t, batch)); err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("as a range %+v, %v\nwant %+v", again, err, got)
		}
	})
}

func FuzzDecodeConfig(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := wire.DecodeConfig(roomy(in))
		want, fault := slowConfig(in)
		if (err != nil) != fault || err == nil && got != want {
			t.Fatalf("got %+v, %v\nwant %+v, fault %v", got, err, want, fault)
		}
		if err != nil {
			return
		}
		if got.Mask == 0 {
			got.Flags = 0 // flags without a mask are never sent
		}
		if again, err := wire.DecodeConfig(body(t, wire.AppendConfig(nil, got, 1))); err != nil || again != got {
			t.Fatalf("decoded again %+v, %v\nwant %+v", again, err, got)
		}
	})
}

func FuzzDecodeConntrack(f *testing.F) {
	seeds(f)
	for _, g := range goldenConntracks {
		f.Add(wire.AppendConntrack(nil, &g.conntrack))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := wire.DecodeConntrack(roomy(in))
		want, fault := slowConntrack(in)
		if (err != nil) != fault || err == nil && got != want {
			t.Fatalf("got %+v, %v\nwant %+v, fault %v", got, err, want, fault)
		}
		if err != nil {
			return
		}
		if again, err := wire.DecodeConntrack(wire.AppendConntrack(nil, &got)); err != nil || again != got {
			t.Fatalf("decoded again %+v, %v\nwant %+v", again, err, got)
		}
	})
}

// An NLMSG_ERROR is readable if and only if it holds an errno and a header, and says the same when it is written again.
func FuzzDecodeError(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := wire.DecodeError(roomy(in))
		if (err == nil) != (len(in) >= 20) {
			t.Fatalf("%d bytes: %v", len(in), err)
		}
		if err != nil {
			return
		}
		if again, err := wire.DecodeError(body(t, wire.AppendError(nil, got))); err != nil || again != got {
			t.Fatalf("decoded again %+v, %v\nwant %+v", again, err, got)
		}
	})
}
