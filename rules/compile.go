package rules

import (
	"fmt"
	"reflect"
	"slices"
)

// tableSpec is a table as the kernel is to have it.
type tableSpec struct {
	family tableFamily
	name   string
	chains []chainSpec // those that are jumped to come first
}

// tableFamily is the family of a table. The numbers are the kernel's.
type tableFamily uint8

const (
	tableInet tableFamily = 1  // NFPROTO_INET
	tableIP   tableFamily = 2  // NFPROTO_IPV4
	tableIP6  tableFamily = 10 // NFPROTO_IPV6
)

func (f tableFamily) String() string {
	return map[tableFamily]string{tableInet: "inet", tableIP: "ip", tableIP6: "ip6"}[f]
}

func (f tableFamily) scope() families {
	return map[tableFamily]families{tableInet: both, tableIP: only4, tableIP6: only6}[f]
}

// chainSpec is a chain; base is nil for one that is only jumped to.
type chainSpec struct {
	name  string
	base  *Chain
	rules []ruleSpec
}

// ruleSpec is a rule: when all conditions hold, do the action.
type ruleSpec struct {
	conditions []condition
	unmark     uint32 // bits that the rule takes from the packet's mark before the action
	action     action
}

// action is what a rule does.
type action struct {
	kind   actionKind
	chain  string   // jump, goto
	target Target   // queue
	spread []string // spread: the chains, one for each queue
}

type actionKind uint8

const (
	actionQueue  actionKind = iota
	actionReturn            // back to the chain that jumped here, or past the base chain
	actionJump
	actionGoto
	actionSpread // go to one of the chains, by the flow's hash
)

// compile turns a plan that has been checked into tables.
func (p Plan) compile(e Encoding, name string) []tableSpec {
	kinds := []tableFamily{tableInet}
	if e == Compat {
		kinds = []tableFamily{tableIP, tableIP6}
	}
	var tables []tableSpec
	for _, f := range kinds {
		if t := p.table(f, name); len(t.chains) != 0 {
			tables = append(tables, t)
		}
	}
	return tables
}

func (p Plan) table(f tableFamily, name string) tableSpec {
	t := tableSpec{family: f, name: name}
	queue := action{kind: actionQueue, target: p.Target}
	var spread []chainSpec
	if p.Target.Balance == BalanceFlow && p.Target.queues() > 1 {
		spread, queue = spreadChains(p.Target)
	}
	used := make(map[string]int)
	for _, c := range p.Chains {
		name := c.Hook.String()
		if used[name]++; used[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, used[name])
		}
		t.chains = append(t.chains, p.chains(c, name, f.scope(), queue)...)
	}
	if len(t.chains) != 0 {
		t.chains = append(spread, t.chains...)
	}
	return t
}

// spreadChains are the chains that balance by flow: one for each queue, and one that chooses.
func spreadChains(t Target) ([]chainSpec, action) {
	var list []chainSpec
	choose := action{kind: actionSpread}
	for n := int(t.Queue); n <= int(t.Last); n++ {
		name := fmt.Sprintf("queue-%d", n)
		list = append(list, chainSpec{name: name, rules: []ruleSpec{{action: action{
			kind: actionQueue, target: Target{Queue: uint16(n), Bypass: t.Bypass},
		}}}})
		choose.spread = append(choose.spread, name)
	}
	list = append(list, chainSpec{name: "balance", rules: []ruleSpec{{action: choose}}})
	return list, action{kind: actionGoto, chain: "balance"}
}

// chains are the base chain that c is and the chains it jumps to, in a table that sees the families of scope; none when
// the table could queue nothing.
func (p Plan) chains(c Chain, name string, scope families, queue action) []chainSpec {
	matches := c.matches()
	base := chainSpec{name: name, base: &c}
	shared := common(matches)
	if p.RepeatMark != 0 {
		// The mark stays on a packet when a tunnel's header is put on or taken off. Left there, it would let what comes out
		// of the tunnel pass unseen.
		for _, r := range exceptions([]Match{{Mark: p.RepeatMark, MarkMask: p.RepeatMark}}, scope) {
			r.unmark = p.RepeatMark
			base.rules = append(base.rules, r)
		}
	}
	base.rules = append(base.rules, exceptions(shared, scope)...)
	head := len(base.rules)
	var list []chainSpec
	for i, m := range matches {
		do := queue
		own := slices.DeleteFunc(slices.Clone(m.Except), func(e Match) bool { return contains(shared, e) })
		variants := m.variants(scope)
		if returns := exceptions(own, scope); len(returns) != 0 && len(variants) != 0 {
			sub := chainSpec{name: fmt.Sprintf("%s-match-%d", name, i+1), rules: append(returns, ruleSpec{action: queue})}
			list = append(list, sub)
			do = action{kind: actionJump, chain: sub.name}
		}
		for _, v := range variants {
			base.rules = append(base.rules, ruleSpec{conditions: v, action: do})
		}
	}
	if len(base.rules) == head {
		return nil
	}
	return append(list, base)
}

// exceptions are rules that leave the chain.
func exceptions(list []Match, scope families) []ruleSpec {
	var out []ruleSpec
	for _, e := range list {
		for _, v := range e.variants(scope) {
			out = append(out, ruleSpec{conditions: v, action: action{kind: actionReturn}})
		}
	}
	return out
}

// common are the exceptions that all matches have: they can be tested once, first.
func common(matches []Match) []Match {
	var list []Match
	for _, e := range matches[0].Except {
		if !contains(list, e) && !slices.ContainsFunc(matches[1:], func(m Match) bool { return !contains(m.Except, e) }) {
			list = append(list, e)
		}
	}
	return list
}

func contains(list []Match, m Match) bool {
	return slices.ContainsFunc(list, func(e Match) bool { return reflect.DeepEqual(e, m) })
}
