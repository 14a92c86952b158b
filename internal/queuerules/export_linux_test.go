package queuerules

import "errors"

// NftRule decodes the body of a message about a rule.
func NftRule(body []byte) ([]Rule, error) {
	v := newNftView()
	err := v.addRule(body)
	var rules []Rule
	for _, r := range v.found {
		rules = append(rules, r.Rule)
	}
	return rules, err
}

// NftReached decodes the bodies of messages about a table, a chain and a rule, and lists the rules that are reached.
func NftReached(table, chain, rule []byte) ([]Rule, error) {
	v := newNftView()
	err := errors.Join(v.addTable(table), v.addChain(chain), v.addRule(rule))
	return v.reached(), err
}

// LegacyRules decodes what the kernel says of a table of iptables-legacy, or of ip6tables-legacy.
func LegacyRules(ip6 bool, info, entries []byte) ([]Rule, error) {
	i, err := parseLegacyInfo(info)
	if err != nil {
		return nil, err
	}
	f := legacyFamilies[0]
	if ip6 {
		f = legacyFamilies[1]
	}
	return f.rules("filter", i, entries)
}

// Nfqueue decodes what a rule says to the target NFQUEUE.
func Nfqueue(revision uint32, info []byte) (first, last uint16, bypass bool, err error) {
	t, err := nfqueue(revision, info)
	return t.first, t.last, t.bypass, err
}

var ModulePresent = modulePresent
