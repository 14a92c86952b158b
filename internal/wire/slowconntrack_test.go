package wire_test

import (
	"net/netip"
	"slices"

	"ipq/internal/wire"
)

func slowConntrack(b []byte) (c wire.Conntrack, fault bool) {
	list, fault := slowAttributes(b)
	_, short := upTo(list, map[uint16]int{3: 4, 8: 4, 12: 4, 18: 2, 21: 4})
	if fault || short {
		return c, true
	}
	for _, a := range list {
		if a.typ == 1 || a.typ == 2 {
			if !slowTuple(map[uint16]*wire.Tuple{1: &c.Orig, 2: &c.Reply}[a.typ], a.value) {
				return c, true
			}
		}
	}
	c.Status, c.Mark, c.ID = be32(last(list, 3)), be32(last(list, 8)), be32(last(list, 12))
	c.Zone, c.MarkMask = be16(last(list, 18)), be32(last(list, 21))
	copy(c.Labels[:], last(list, 22))
	copy(c.LabelsMask[:], last(list, 23))
	c.HasLabels = slices.ContainsFunc(list, func(a attribute) bool { return a.typ == 22 })
	return c, false
}

// slowTuple sets t to what b says, as if nothing had been said about it before.
func slowTuple(t *wire.Tuple, b []byte) (ok bool) {
	*t = wire.Tuple{}
	list, fault := slowAttributes(b)
	if fault {
		return false
	}
	for _, a := range list {
		inner, fault := slowAttributes(a.value)
		switch {
		case a.typ != 1 && a.typ != 2:
		case fault:
			return false
		case a.typ == 1:
			for _, x := range inner {
				size, known := map[uint16]int{1: 4, 2: 4, 3: 16, 4: 16}[x.typ]
				if !known {
					continue
				}
				if len(x.value) != size {
					return false
				}
				at, _ := netip.AddrFromSlice(x.value)
				if x.typ%2 == 1 {
					t.Src = at
				} else {
					t.Dst = at
				}
			}
		case a.typ == 2:
			if _, short := upTo(inner, map[uint16]int{1: 1, 2: 2, 3: 2, 4: 2, 5: 1, 6: 1, 7: 2, 8: 1, 9: 1}); short {
				return false
			}
			for _, x := range inner {
				switch x.typ {
				case 1:
					t.Proto = x.value[0]
				case 2:
					t.SrcPort = be16(x.value)
				case 3:
					t.DstPort = be16(x.value)
				case 4, 7:
					t.ICMPID = be16(x.value)
				case 5, 8:
					t.ICMPType = x.value[0]
				case 6, 9:
					t.ICMPCode = x.value[0]
				}
			}
		}
	}
	return true
}
