package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ipq/rules"
)

// Rules are what the kernel's rules do for the filter: packets that none of these take need not be looked at. They take
// every packet that Match accepts, and perhaps others: see Explain. There is at least one.
func (f *Filter) Rules() []rules.Match {
	terms := []term{everything}
	if f.root != nil {
		terms = f.root.terms(false).terms
	}
	var list []rules.Match
	for _, t := range terms {
		list = append(list, t.matches()...)
	}
	return list
}

// Explain says which parts of the filter the kernel's rules decide, and which are left to the program, a line for each. A
// packet is wanted when all parts want it.
func (f *Filter) Explain() string {
	if f.root == nil {
		return "rules    every packet\n"
	}
	var b strings.Builder
	for _, p := range parts(f.root) {
		where := "rules"
		if !p.exact {
			where = "program"
		}
		fmt.Fprintf(&b, "%-7s  %s\n", where, p.expr)
	}
	return b.String()
}

// part is a part of a filter, and whether the rules decide it.
type part struct {
	expr  expr
	exact bool
}

// parts are the largest parts of an expression that are decided in one place. All of them must hold.
func parts(x expr) []part {
	exact := x.terms(false).exact
	b, ok := x.(*binaryExpr)
	if exact || !ok || b.or {
		return []part{{x, exact}}
	}
	list, right := parts(b.x), parts(b.y)
	for _, p := range right {
		list = append(list, part{p.expr, p.exact && b.fits})
	}
	return list
}

// matches says the term in the words of the rules.
func (t term) matches() []rules.Match {
	four, six := t.shapes&shapes4, t.shapes>>classes
	if four == six {
		return []rules.Match{t.match(0, four)}
	}
	var list []rules.Match
	if four != 0 {
		list = append(list, t.match(rules.IPv4, four))
	}
	if six != 0 {
		list = append(list, t.match(rules.IPv6, six))
	}
	return list
}

// match is the term for the packets of a family, or both, of some classes of protocols.
func (t term) match(f rules.Family, of shapes) rules.Match {
	m := rules.Match{
		Family: f, Src: slices.Clone(t.src), Dst: slices.Clone(t.dst), SrcPorts: slices.Clone(t.srcPort), DstPorts: slices.Clone(t.dstPort),
	}
	switch {
	case of&(1<<classOther) == 0:
		m.Protocols = of.protocols()
	case of != oneFamily: // of all the numbers that have no name here, only the others can be listed
		m.Except = append(m.Except, rules.Match{Protocols: (oneFamily &^ of).protocols()})
	}
	for _, e := range t.except {
		m.Except = except(m.Except, e, f)
	}
	return m
}

// except adds an exception to the list, to one of its kind if there is one.
func except(list []rules.Match, e exception, f rules.Family) []rules.Match {
	var m rules.Match
	switch {
	case e.prefix.IsValid() && f != 0 && e.prefix.Addr().Is4() != (f == rules.IPv4):
		return list // no packet of the family has such an address
	case e.prefix.IsValid() && e.destination:
		m.Dst = []netip.Prefix{e.prefix}
	case e.prefix.IsValid():
		m.Src = []netip.Prefix{e.prefix}
	case e.destination:
		m.Protocols, m.DstPorts = (e.shapes & oneFamily).protocols(), []rules.PortRange{e.ports}
	default:
		m.Protocols, m.SrcPorts = (e.shapes & oneFamily).protocols(), []rules.PortRange{e.ports}
	}
	for i := range list {
		l := &list[i]
		if !slices.Equal(l.Protocols, m.Protocols) || (l.Src == nil) != (m.Src == nil) || (l.Dst == nil) != (m.Dst == nil) ||
			(l.SrcPorts == nil) != (m.SrcPorts == nil) || (l.DstPorts == nil) != (m.DstPorts == nil) {
			continue
		}
		l.Src, l.Dst = append(l.Src, m.Src...), append(l.Dst, m.Dst...)
		l.SrcPorts, l.DstPorts = append(l.SrcPorts, m.SrcPorts...), append(l.DstPorts, m.DstPorts...)
		return list
	}
	return append(list, m)
}
