package rules

import (
	"bytes"
	"net/netip"
	"slices"
)

// span is the values from lo to hi, both included, as big-endian bytes of one length.
type span struct{ lo, hi []byte }

// one is the span of a single value.
func one(v ...byte) span { return span{v, v} }

// single reports whether the span is one value.
func (s span) single() bool { return bytes.Equal(s.lo, s.hi) }

// prefix is the length of the prefix that the span is, or -1 when it is none.
func (s span) prefix() int {
	n := 0
	for i := range s.lo {
		for bit := byte(0x80); bit != 0; bit >>= 1 {
			if (s.lo[i]^s.hi[i])&bit != 0 {
				// From here on the lower end must be all zeros and the upper one all ones.
				if !trailing(s.lo, n, 0) || !trailing(s.hi, n, 1) {
					return -1
				}
				return n
			}
			n++
		}
	}
	return n
}

// trailing reports whether every bit of b from position n on is v.
func trailing(b []byte, n int, v byte) bool {
	for ; n < 8*len(b); n++ {
		if b[n/8]>>(7-n%8)&1 != v {
			return false
		}
	}
	return true
}

// after is the value that follows b, or nil when b is the last one.
func after(b []byte) []byte {
	next := bytes.Clone(b)
	for i := len(next) - 1; i >= 0; i-- {
		next[i]++
		if next[i] != 0 {
			return next
		}
	}
	return nil
}

// merge sorts the spans and joins those that overlap or touch, as an interval set of the kernel needs them.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(a.lo, b.lo) })
	var out []span
	for _, s := range spans {
		if len(out) != 0 {
			last := &out[len(out)-1]
			if next := after(last.hi); next == nil || bytes.Compare(s.lo, next) <= 0 {
				if bytes.Compare(s.hi, last.hi) > 0 {
					last.hi = s.hi
				}
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// prefixSpans are the networks of one family.
func prefixSpans(prefixes []netip.Prefix, f Family) []span {
	var spans []span
	for _, p := range prefixes {
		if p.Addr().Is4() != (f == IPv4) {
			continue
		}
		p = p.Masked()
		lo := p.Addr().AsSlice()
		hi := bytes.Clone(lo)
		for n := p.Bits(); n < 8*len(hi); n++ {
			hi[n/8] |= 0x80 >> (n % 8)
		}
		spans = append(spans, span{lo, hi})
	}
	return merge(spans)
}

func portSpans(ranges []PortRange) []span {
	var spans []span
	for _, r := range ranges {
		spans = append(spans, span{[]byte{byte(r.First >> 8), byte(r.First)}, []byte{byte(r.Last >> 8), byte(r.Last)}})
	}
	return merge(spans)
}

// byteSpans are single values, for what is a name and not a quantity: they are not joined into ranges.
func byteSpans[T ~uint8](values []T) []span {
	var spans []span
	for _, v := range values {
		spans = append(spans, one(byte(v)))
	}
	return distinct(spans)
}

// nameSpan is the one name of the list as the kernel holds it, if there is one.
func nameSpan(names []string) []span {
	if len(names) == 0 {
		return nil
	}
	v := make([]byte, maxInterfaceName+1)
	copy(v, names[0])
	return []span{one(v...)}
}

func distinct(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(a.lo, b.lo) })
	return slices.CompactFunc(spans, func(a, b span) bool { return bytes.Equal(a.lo, b.lo) })
}
