package queuerules_test

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"ipq/internal/queuerules"
)

// nativeRules are rules with the statement queue, as nft 1.0.6 writes them for the kernel of a little-endian machine:
// the body of the message that this shows:
//
//	nft --debug=mnl add rule inet t c RULE
var nativeRules = []struct {
	rule string
	hex  string
	want []queuerules.Rule
}{
	{
		"counter queue flags bypass,fanout to 2-5",
		"010000000600010074000000060002006300000044000480140001800c000100636f756e74657200040002802c0001800a00010071756575650000001c0002800600010000" +
			"02000006000200000400000600030000030000",
		[]queuerules.Rule{{First: 2, Last: 5, Bypass: true, Counted: true}},
	}, {
		"queue to 7",
		"010000000600010074000000060002006300000028000480240001800a00010071756575650000001400028006000100000700000600020000010000",
		[]queuerules.Rule{{First: 7, Last: 7}},
	}, {
		"queue to numgen inc mod 4 offset 10", // a register
		"010000000600010074000000060002006300000054000480340001800b0001006e756d67656e000024000280080001000000000108000200000000040800030000000000" +
			"080004000000000a1c0001800a00010071756575650000000c0002800800040000000001",
		nil,
	},
}

func TestNativeQueue(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the bytes are of a little-endian machine")
	}
	for _, c := range nativeRules {
		body, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.want {
			r := &c.want[i]
			r.System, r.Family, r.Table, r.Chain = queuerules.Nftables, "inet", "t", "c"
		}
		if got, err := queuerules.NftRule(body); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.rule, got, err, c.want)
		}
	}
}

// Revisions 0 to 3 of the target, and later ones, which keep the fields.
func TestNfqueue(t *testing.T) {
	info := func(fields ...uint16) (b []byte) {
		for _, f := range fields {
			b = binary.NativeEndian.AppendUint16(b, f)
		}
		return b
	}
	for _, c := range []struct {
		revision    uint32
		info        []byte
		first, last uint16
		bypass, cut bool
	}{
		{0, info(5), 5, 5, false, false},
		{0, info(5, 9, 9, 9), 5, 5, false, false}, // filled up with what was there
		{1, info(5, 3), 5, 7, false, false},
		{1, info(5, 0), 5, 5, false, false},
		{1, info(0, 0xffff), 0, 0xfffe, false, false},
		{1, info(9, 0xffff), 9, 0xffff, false, false}, // the kernel takes none such
		{2, info(5, 1, 1, 0), 5, 5, true, false},
		{2, info(5, 2, 0, 0), 5, 6, false, false},
		{3, info(0, 4, 1, 0), 0, 3, true, false},
		{3, info(0, 4, 2, 0), 0, 3, false, false},
		{3, info(0, 4, 3, 0), 0, 3, true, false},
		{4, info(0, 4, 1, 0, 7), 0, 3, true, false},
		{1 << 31, info(0, 4, 1), 0, 3, true, false},
		{0, []byte{1}, 0, 0, false, true},
		{1, info(5), 0, 0, false, true},
		{2, info(5, 1), 0, 0, false, true},
		{3, info(5, 1), 0, 0, false, true},
	} {
		first, last, bypass, err := queuerules.Nfqueue(c.revision, c.info)
		if first != c.first || last != c.last || bypass != c.bypass || (err != nil) != c.cut {
			t.Errorf("revision %d, %x: %d-%d, bypass %v, %v; want %+v", c.revision, c.info, first, last, bypass, err, c)
		}
	}
}

// right fails the test if no rule can be like this one.
func right(t *testing.T, rules []queuerules.Rule) {
	t.Helper()
	for _, r := range rules {
		if r.First > r.Last || r.Family == "" || !r.Counted && r.Packets != 0 {
			t.Errorf("%+v", r)
		}
	}
}

func FuzzNftRule(f *testing.F) {
	for _, c := range nativeRules {
		body, _ := hex.DecodeString(c.hex)
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		rules, err := queuerules.NftRule(body)
		right(t, rules)
		if err != nil && len(rules) != 0 {
			t.Errorf("%+v, and %v", rules, err)
		}
	})
}
