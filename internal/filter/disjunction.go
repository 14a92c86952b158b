package filter

import (
	"net/netip"

	"ipq/rules"
)

// disjunction is what rules can say about an expression: the packets of any of its terms. When it is not exact, these are
// more than the expression wants, never less.
type disjunction struct {
	terms []term
	exact bool
}

// maxTerms bounds the rules that a filter becomes.
const maxTerms = 32

func (d disjunction) or(e disjunction) disjunction {
	out := disjunction{exact: d.exact && e.exact}
	for _, list := range [][]term{d.terms, e.terms} {
		for _, t := range list {
			if !out.add(t) {
				return disjunction{terms: []term{everything}}
			}
		}
	}
	return out
}

// and is the packets of both. When that takes too many terms it is those of d alone, and not exact; fits is then false.
func (d disjunction) and(e disjunction) (both disjunction, fits bool) {
	both.exact = d.exact && e.exact
	for _, t := range d.terms {
		for _, u := range e.terms {
			if x, ok := t.and(u); ok && !both.add(x) {
				d.exact = false
				return d, false
			}
		}
	}
	return both, true
}

// add adds a term, in one with others where that can be; it reports whether there was room.
func (d *disjunction) add(t term) bool {
	for i := 0; i < len(d.terms); i++ {
		if either, ok := d.terms[i].or(t); ok {
			// The new one may go together with those before it.
			d.terms = append(d.terms[:i], d.terms[i+1:]...)
			t, i = either, -1
		}
	}
	d.terms = append(d.terms, t)
	return len(d.terms) <= maxTerms
}

// only is one term, exactly.
func only(t term) disjunction {
	t, ok := t.tidy()
	if !ok {
		return disjunction{exact: true}
	}
	return disjunction{[]term{t}, true}
}

func (b *binaryExpr) terms(opposite bool) disjunction {
	if opposite {
		return b.doesNot
	}
	return b.does
}

func (n *not) terms(opposite bool) disjunction { return n.x.terms(!opposite) }

func (p *isProtocol) terms(opposite bool) disjunction {
	s := ofFamily(p.family)
	if p.protocol != anyProtocol {
		s &= ofProtocol(p.protocol)
	}
	if opposite {
		s = allShapes &^ s
	}
	return only(term{shapes: s})
}

func (a *hasAddress) terms(opposite bool) disjunction {
	return a.direction.terms(opposite, func(destination bool) term {
		switch list := []netip.Prefix{a.prefix}; {
		case opposite:
			return term{shapes: allShapes, except: []exception{{destination: destination, prefix: a.prefix}}}
		case destination:
			return term{shapes: allShapes, dst: list}
		default:
			return term{shapes: allShapes, src: list}
		}
	})
}

func (p *hasPort) terms(opposite bool) disjunction {
	return p.direction.terms(opposite, func(destination bool) term {
		ports, having := rules.PortRange{First: p.first, Last: p.last}, ofProtocols(p.protocols)
		switch list := []rules.PortRange{ports}; {
		case opposite:
			return term{shapes: allShapes, except: []exception{{destination: destination, ports: ports, shapes: having}}}
		case destination:
			return term{shapes: having, dstPort: list}
		default:
			return term{shapes: having, srcPort: list}
		}
	})
}

// terms are those of a test of the ends that the direction means, from that of one end, or from its opposite.
func (d direction) terms(opposite bool, end func(destination bool) term) disjunction {
	switch d {
	case sourceEnd:
		return only(end(false))
	case destinationEnd:
		return only(end(true))
	}
	src, dst := only(end(false)), only(end(true))
	if (d == eitherEnd) != opposite {
		return src.or(dst)
	}
	both, _ := src.and(dst) // one term
	return both
}
