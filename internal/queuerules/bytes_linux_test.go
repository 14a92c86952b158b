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

func FuzzNft(f *testing.F) {
	// A table t that is not dormant, and a chain c with a hook, as in the messages of the rules.
	table, _ := hex.DecodeString("0100000006000100740000000800020000000000")
	chain, _ := hex.DecodeString("01000000060001007400000006000300630000001400048008000100000000010800020000000000")
	for _, c := range nativeRules {
		body, _ := hex.DecodeString(c.hex)
		f.Add(table, chain, body)
	}
	f.Fuzz(func(t *testing.T, table, chain, rule []byte) {
		rules, err := queuerules.NftRule(rule)
		right(t, rules)
		if err != nil && len(rules) != 0 {
			t.Errorf("%+v, and %v", rules, err)
		}
		// What is reached is some of what is there.
		reached, _ := queuerules.NftReached(table, chain, rule)
		if len(reached) != 0 && !slices.Equal(reached, rules) {
			t.Errorf("%+v of %+v", reached, rules)
		}
	})
}

// The seeds of the fuzzer are what they are meant to be: a rule that is reached.
func TestReached(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the bytes are of a little-endian machine")
	}
	bytes := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	on, off := bytes("0100000006000100740000000800020000000000"), bytes("0100000006000100740000000800020000000001")
	hooked := bytes("01000000060001007400000006000300630000001400048008000100000000010800020000000000")
	plain := func(uses byte) []byte {
		return append(bytes("0100000006000100740000000600030063000000080006000000"), 0, uses)
	}
	for _, c := range []struct {
		what         string
		table, chain []byte
		reached      int
	}{
		{"a chain with a hook", on, hooked, 1},
		{"a dormant table", off, hooked, 0},
		{"a chain that only its rule uses", on, plain(1), 0},
		{"a chain that a jump uses too", on, plain(2), 1},
		{"a table with another name", bytes("0100000006000100750000000800020000000001"), hooked, 1},
	} {
		reached, err := queuerules.NftReached(c.table, c.chain, bytes(nativeRules[1].hex))
		if err != nil || len(reached) != c.reached {
			t.Errorf("%s: %+v, %v", c.what, reached, err)
		}
	}
}
