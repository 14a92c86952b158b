package queuerules_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"ipq/internal/queuerules"
)

// entry is a rule of iptables-legacy before the kernel has it.
type entry struct {
	chain    string // of which it is the head; "" is a rule
	name     string // of the target
	revision uint8
	data     []byte
	packets  uint64
	reached  uint32
	matches  int // bytes
}

// legacyTable lays a table out as the kernel does: hook 1 (INPUT) begins at 0, hook 3 (OUTPUT) at the second entry.
func legacyTable(ip6 bool, list ...entry) (info, entries []byte) {
	match := 84 // struct ipt_ip
	counters := 96
	if ip6 {
		match, counters = 136, 152 // struct ip6t_ip6
	}
	info = make([]byte, 84)
	binary.NativeEndian.PutUint32(info[32:], 1<<1|1<<3)
	for i, e := range list {
		if i == 1 {
			binary.NativeEndian.PutUint32(info[36+4*3:], uint32(len(entries)))
		}
		data := e.data
		if e.chain != "" {
			e.name, data = "ERROR", append([]byte(e.chain), make([]byte, 30-len(e.chain))...)
		}
		for len(data)%8 != 0 {
			data = append(data, 0)
		}
		b := make([]byte, counters+16+e.matches+32+len(data))
		targetOffset := counters + 16 + e.matches
		binary.NativeEndian.PutUint16(b[match+4:], uint16(targetOffset))
		binary.NativeEndian.PutUint16(b[match+6:], uint16(len(b)))
		binary.NativeEndian.PutUint32(b[match+8:], e.reached)
		binary.NativeEndian.PutUint64(b[counters:], e.packets)
		target := b[targetOffset:]
		binary.NativeEndian.PutUint16(target, uint16(32+len(data)))
		copy(target[2:31], e.name)
		target[31] = e.revision
		copy(target[32:], data)
		entries = append(entries, b...)
	}
	binary.NativeEndian.PutUint32(info[80:], uint32(len(entries)))
	return info, entries
}

func verdict(v int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }

func legacyExample(ip6 bool) (info, entries []byte) {
	return legacyTable(ip6,
		entry{data: verdict(-4), packets: 12, reached: 2, matches: 48},                                         // -j QUEUE
		entry{name: "NFQUEUE", revision: 3, data: []byte{7, 7, 1, 0, 0, 0, 0, 0}, packets: 1, reached: 8},      // another chain
		entry{data: verdict(-2), reached: 8},                                                                   // policy ACCEPT
		entry{chain: "mine"}, entry{data: verdict(-4)}, entry{name: "NFQUEUE", data: []byte{9, 9}, reached: 2}, // the first is unreached
		entry{chain: "ERROR"},
	)
}

func TestLegacyTable(t *testing.T) {
	for _, ip6 := range []bool{false, true} {
		want := []queuerules.Rule{
			{Chain: "INPUT", Number: 1, Packets: 12},
			{Chain: "OUTPUT", Number: 1, First: 0x0707, Last: 0x0707, Packets: 1},
			{Chain: "mine", Number: 2, First: 0x0909, Last: 0x0909},
		}
		for i := range want {
			r := &want[i]
			r.System, r.Family, r.Table, r.Counted = queuerules.Iptables, "ip", "filter", true
			if ip6 {
				r.Family = "ip6"
			}
		}
		info, entries := legacyExample(ip6)
		if got, err := queuerules.LegacyRules(ip6, info, entries); err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v, %v\nwant %+v", got, err, want)
		}
		// Of a table that is cut anywhere else than between entries, the whole ones are there, and an error.
		for n := range entries {
			got, err := queuerules.LegacyRules(ip6, info, entries[:n])
			if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
				t.Errorf("%d bytes of %d: %+v", n, len(entries), got)
			}
			if err == nil && n%8 != 0 {
				t.Errorf("%d bytes of %d: no error", n, len(entries))
			}
		}
	}
}

func FuzzLegacy(f *testing.F) {
	for _, ip6 := range []bool{false, true} {
		info, entries := legacyExample(ip6)
		f.Add(ip6, info, entries)
	}
	f.Fuzz(func(t *testing.T, ip6 bool, info, entries []byte) {
		rules, err := queuerules.LegacyRules(ip6, info, entries)
		right(t, rules)
		smallest := 112 + 32
		if ip6 {
			smallest = 168 + 32
		}
		if len(rules)*smallest > len(entries) {
			t.Errorf("%d rules in %d bytes", len(rules), len(entries))
		}
		for _, r := range rules {
			if r.Number == 0 {
				t.Errorf("%+v", r)
			}
		}
		if err != nil {
			return
		}
		// What was decoded without an error is decoded the same with something behind it.
		if again, err := queuerules.LegacyRules(ip6, info, append(slices.Clone(entries), 1)); err == nil || !slices.Equal(again, rules) {
			t.Errorf("%+v, and with a byte behind: %+v, %v", rules, again, err)
		}
	})
}
