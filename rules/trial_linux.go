package rules

import (
	"slices"

	"github.com/google/nftables"
)

// try has the kernel take the rules of the tables where no packet can reach them: in chains that are not base chains, in
// tables of another name, which it returns. When the kernel refuses a transaction with a base chain, it takes back the
// chain, and flushes every queue of the network namespace. The tables stay until they are deleted.
//
// Conntrack is hooked for the first rule that uses it, and when that rule is refused, unhooked, with a flush. Such rules
// therefore come last, alone, when all else is known to be there.
func (e encoder) try(specs []tableSpec) ([]*nftables.Table, error) {
	var tables []*nftables.Table
	for _, spec := range specs {
		table, err := e.add(spec.untracked())
		if err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	if err := e.conn.Flush(); err != nil {
		return nil, err
	}
	for i, spec := range specs {
		if list := spec.tracked(); len(list) != 0 {
			chain := e.conn.AddChain(&nftables.Chain{Name: "tracked", Table: tables[i]})
			for _, r := range list {
				exprs, err := e.rule(tables[i], r)
				if err != nil {
					return nil, err
				}
				e.conn.AddRule(&nftables.Rule{Table: tables[i], Chain: chain, Exprs: exprs})
			}
		}
	}
	return tables, e.conn.Flush()
}

// usesConntrack reports whether a rule that reads the field has conntrack hooked.
func (f field) usesConntrack() bool { return f == fieldState || f == fieldPackets }

// untracked is the table for the trial, without base chains and without conntrack.
func (t tableSpec) untracked() tableSpec {
	out := tableSpec{family: t.family, name: t.name + "-trial"}
	for _, c := range t.chains {
		c.base, c.rules = nil, slices.Clone(c.rules)
		for i := range c.rules {
			c.rules[i].conditions = slices.DeleteFunc(slices.Clone(c.rules[i].conditions), func(c condition) bool { return c.field.usesConntrack() })
		}
		out.chains = append(out.chains, c)
	}
	return out
}

// tracked are rules with the conditions that use conntrack, one for each field that the table reads.
func (t tableSpec) tracked() []ruleSpec {
	var list []ruleSpec
	for _, c := range t.chains {
		for _, r := range c.rules {
			for _, cond := range r.conditions {
				same := func(r ruleSpec) bool { return r.conditions[0].field == cond.field }
				if cond.field.usesConntrack() && !slices.ContainsFunc(list, same) {
					list = append(list, ruleSpec{conditions: []condition{cond}, action: action{kind: actionReturn}})
				}
			}
		}
	}
	return list
}
