package filter

import (
	"net/netip"
	"slices"

	"ipq/rules"
)

// term is a conjunction that rules can decide: packets of some shapes, with addresses and ports in some sets, without
// exceptions. A nil list is any value, and for ports also none. Terms share no lists that anybody changes.
type term struct {
	shapes           shapes
	src, dst         []netip.Prefix
	srcPort, dstPort []rules.PortRange
	except           []exception
}

// exception is a negated test of one end of a packet.
type exception struct {
	destination bool
	prefix      netip.Prefix // or, when this is not valid,
	ports       rules.PortRange
	shapes      shapes // of the packets that have these ports
}

var everything = term{shapes: allShapes}

// and is the packets of both terms; ok is false when there are none.
func (t term) and(u term) (both term, ok bool) {
	both.shapes = t.shapes & u.shapes
	var okSrc, okDst, okSrcPort, okDstPort bool
	both.src, okSrc = intersect(t.src, u.src, commonPrefix)
	both.dst, okDst = intersect(t.dst, u.dst, commonPrefix)
	both.srcPort, okSrcPort = intersect(t.srcPort, u.srcPort, commonPorts)
	both.dstPort, okDstPort = intersect(t.dstPort, u.dstPort, commonPorts)
	both.except = slices.Concat(t.except, u.except)
	if !okSrc || !okDst || !okSrcPort || !okDstPort {
		return term{}, false
	}
	return both.tidy()
}

// tidy takes out what cannot happen; ok is false when nothing can.
func (t term) tidy() (tidied term, ok bool) {
	for {
		before := t
		t.src, t.dst = t.narrow(t.src), t.narrow(t.dst)
		if t.srcPort != nil || t.dstPort != nil {
			t.shapes &= ofProtocols(anyPort)
		}
		var except []exception
		for _, e := range t.except {
			if !t.apply(e) && !slices.Contains(except, e) {
				except = append(except, e)
			}
		}
		t.except = except
		if t.shapes == 0 || empty(t.src) || empty(t.dst) || empty(t.srcPort) || empty(t.dstPort) {
			return term{}, false
		}
		// Everything only ever shrinks.
		if t.shapes == before.shapes && len(t.src) == len(before.src) && len(t.dst) == len(before.dst) {
			slices.SortFunc(t.except, compareExceptions)
			return t, true
		}
	}
}

// narrow leaves in the list, and in the shapes, only families that both have.
func (t *term) narrow(list []netip.Prefix) []netip.Prefix {
	if list == nil {
		return nil
	}
	var families shapes
	for _, p := range list {
		families |= familyOf(p)
	}
	t.shapes &= families
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return t.shapes&familyOf(p) == 0 })
}

// empty reports whether a list allows no value; nil allows all.
func empty[T any](list []T) bool { return list != nil && len(list) == 0 }

// apply works an exception into the lists, and reports whether it is then needless.
func (t *term) apply(e exception) bool {
	if e.prefix.IsValid() {
		list := &t.src
		if e.destination {
			list = &t.dst
		}
		if t.shapes&familyOf(e.prefix) == 0 {
			return true
		}
		if e.prefix.Bits() == 0 { // a whole family
			t.shapes &^= familyOf(e.prefix)
			return true
		}
		if *list == nil {
			return false
		}
		*list = slices.DeleteFunc(slices.Clone(*list), func(p netip.Prefix) bool { return within(p, e.prefix) })
		return !slices.ContainsFunc(*list, e.prefix.Overlaps)
	}
	list := &t.srcPort
	if e.destination {
		list = &t.dstPort
	}
	if t.shapes&e.shapes == 0 {
		return true
	}
	if *list == nil || t.shapes&^e.shapes != 0 {
		return false
	}
	*list = without(*list, e.ports)
	return true
}

// or is one term for the packets of both, if there is one.
func (t term) or(u term) (either term, ok bool) {
	if t.covers(u) {
		return t, true
	}
	if u.covers(t) {
		return u, true
	}
	same := []bool{
		t.shapes == u.shapes, slices.Equal(t.src, u.src), slices.Equal(t.dst, u.dst),
		slices.Equal(t.srcPort, u.srcPort), slices.Equal(t.dstPort, u.dstPort), slices.Equal(t.except, u.except),
	}
	different := slices.Index(same, false)
	if slices.Contains(same[different+1:], false) {
		return term{}, false
	}
	either = t
	switch different {
	case 0:
		either.shapes |= u.shapes
	case 1:
		either.src = unitePrefixes(t.src, u.src)
	case 2:
		either.dst = unitePrefixes(t.dst, u.dst)
	case 3:
		either.srcPort = unitePorts(t.srcPort, u.srcPort)
	case 4:
		either.dstPort = unitePorts(t.dstPort, u.dstPort)
	default:
		return term{}, false
	}
	return either, true
}

// covers reports whether every packet of u is obviously one of t.
func (t term) covers(u term) bool {
	return u.shapes&^t.shapes == 0 &&
		subset(u.src, t.src, within) && subset(u.dst, t.dst, within) &&
		subset(u.srcPort, t.srcPort, portsWithin) && subset(u.dstPort, t.dstPort, portsWithin) &&
		!slices.ContainsFunc(t.except, func(e exception) bool { return !slices.Contains(u.except, e) })
}

// familyOf are the shapes that an address of the prefix can have.
func familyOf(p netip.Prefix) shapes {
	if p.Addr().Is4() {
		return shapes4
	}
	return shapes6
}

// intersect is what two lists have in common; ok is false when that is nothing.
func intersect[T comparable](a, b []T, common func(T, T) (T, bool)) (list []T, ok bool) {
	if a == nil {
		return b, true
	}
	if b == nil {
		return a, true
	}
	for _, x := range a {
		for _, y := range b {
			if z, ok := common(x, y); ok && !slices.Contains(list, z) {
				list = append(list, z)
			}
		}
	}
	return list, list != nil
}

// subset reports whether every value of a is within one of b.
func subset[T any](a, b []T, within func(T, T) bool) bool {
	if b == nil {
		return true
	}
	return a != nil && !slices.ContainsFunc(a, func(x T) bool {
		return !slices.ContainsFunc(b, func(y T) bool { return within(x, y) })
	})
}

// within reports whether all addresses of p are addresses of q.
func within(p, q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }

func commonPrefix(p, q netip.Prefix) (netip.Prefix, bool) {
	if within(p, q) {
		return p, true
	}
	return q, within(q, p)
}

func unitePrefixes(a, b []netip.Prefix) []netip.Prefix {
	var list []netip.Prefix
	all := slices.Concat(a, b)
	slices.SortFunc(all, netip.Prefix.Compare) // a network sorts before what is within it
	for _, p := range all {
		if len(list) == 0 || !within(p, list[len(list)-1]) {
			list = append(list, p)
		}
	}
	return list
}

func portsWithin(r, q rules.PortRange) bool { return q.First <= r.First && r.Last <= q.Last }

func commonPorts(r, q rules.PortRange) (rules.PortRange, bool) {
	c := rules.PortRange{First: max(r.First, q.First), Last: min(r.Last, q.Last)}
	return c, c.First <= c.Last
}

func unitePorts(a, b []rules.PortRange) []rules.PortRange {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(r, q rules.PortRange) int { return int(r.First) - int(q.First) })
	list := all[:1:1]
	for _, r := range all[1:] {
		if last := &list[len(list)-1]; int(r.First) <= int(last.Last)+1 {
			last.Last = max(last.Last, r.Last)
		} else {
			list = append(list, r)
		}
	}
	return list
}

// without is the list without some ports; it is not nil.
func without(list []rules.PortRange, out rules.PortRange) []rules.PortRange {
	rest := []rules.PortRange{}
	for _, r := range list {
		if r.First < out.First {
			rest = append(rest, rules.PortRange{First: r.First, Last: min(r.Last, out.First-1)})
		}
		if r.Last > out.Last {
			rest = append(rest, rules.PortRange{First: max(r.First, out.Last+1), Last: r.Last})
		}
	}
	return rest
}

func compareExceptions(a, b exception) int {
	if a.destination != b.destination {
		if b.destination {
			return -1
		}
		return 1
	}
	if c := a.prefix.Compare(b.prefix); c != 0 {
		return c
	}
	if c := int(a.ports.First) - int(b.ports.First); c != 0 {
		return c
	}
	if c := int(a.ports.Last) - int(b.ports.Last); c != 0 {
		return c
	}
	return int(a.shapes) - int(b.shapes)
}
