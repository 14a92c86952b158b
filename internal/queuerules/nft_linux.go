package queuerules

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
)

// Attributes. Source: include/uapi/linux/netfilter/nf_tables.h, nf_tables_compat.h.
const (
	nftListElem = 1 // NFTA_LIST_ELEM

	nftTableName  = 1 // NFTA_TABLE_NAME
	nftTableFlags = 2 // NFTA_TABLE_FLAGS
	tableDormant  = 1 // NFT_TABLE_F_DORMANT

	nftChainTable = 1 // NFTA_CHAIN_TABLE
	nftChainName  = 3 // NFTA_CHAIN_NAME
	nftChainHook  = 4 // NFTA_CHAIN_HOOK
	nftChainUse   = 6 // NFTA_CHAIN_USE

	nftRuleTable       = 1 // NFTA_RULE_TABLE
	nftRuleChain       = 2 // NFTA_RULE_CHAIN
	nftRuleHandle      = 3 // NFTA_RULE_HANDLE
	nftRuleExpressions = 4 // NFTA_RULE_EXPRESSIONS

	nftExprName = 1 // NFTA_EXPR_NAME
	nftExprData = 2 // NFTA_EXPR_DATA

	nftCounterPackets = 2 // NFTA_COUNTER_PACKETS

	nftQueueNum   = 1 // NFTA_QUEUE_NUM
	nftQueueTotal = 2 // NFTA_QUEUE_TOTAL
	nftQueueFlags = 3 // NFTA_QUEUE_FLAGS
	queueBypass   = 1 // NFT_QUEUE_FLAG_BYPASS

	nftTargetName     = 1 // NFTA_TARGET_NAME
	nftTargetRevision = 2 // NFTA_TARGET_REV
	nftTargetInfo     = 3 // NFTA_TARGET_INFO
)

// nftFamilies are the names of those families whose packets the kernel can queue.
var nftFamilies = map[uint8]string{1: "inet", 2: "ip", 7: "bridge", 10: "ip6"} // NFPROTO_INET, _IPV4, _BRIDGE, _IPV6

// nftName names a table, or with chain a chain.
type nftName struct {
	family       uint8
	table, chain string
}

// nftView is what one look at nftables has found.
type nftView struct {
	dormant map[nftName]bool   // tables that are switched off
	hooked  map[nftName]bool   // chains that the kernel calls
	uses    map[nftName]uint32 // by the rules in a chain, and by what jumps to it
	rules   map[nftName]uint32 // in a chain
	found   []nftRule
}

func newNftView() *nftView {
	return &nftView{
		dormant: make(map[nftName]bool), hooked: make(map[nftName]bool),
		uses: make(map[nftName]uint32), rules: make(map[nftName]uint32),
	}
}

type nftRule struct {
	chain nftName
	Rule
}

// reached lists the rules that packets can come to: not those of dormant tables, nor of chains that nothing jumps to.
func (v *nftView) reached() []Rule {
	var rules []Rule
	for _, r := range v.found {
		table := nftName{family: r.chain.family, table: r.chain.table}
		if !v.dormant[table] && (v.hooked[r.chain] || v.uses[r.chain] > v.rules[r.chain]) {
			rules = append(rules, r.Rule)
		}
	}
	return rules
}

// attributes splits the body of a message into the family and the rest.
func attributes(body []byte) (family uint8, ad *netlink.AttributeDecoder, err error) {
	const header = 4 // struct nfgenmsg
	if len(body) < header {
		return 0, nil, errCut
	}
	ad, err = netlink.NewAttributeDecoder(body[header:])
	if err != nil {
		return 0, nil, err
	}
	ad.ByteOrder = binary.BigEndian
	return body[0], ad, nil
}

func (v *nftView) addTable(body []byte) error {
	family, ad, err := attributes(body)
	if err != nil {
		return err
	}
	name, flags := nftName{family: family}, uint32(0)
	for ad.Next() {
		switch ad.Type() {
		case nftTableName:
			name.table = ad.String()
		case nftTableFlags:
			flags = ad.Uint32()
		}
	}
	v.dormant[name] = flags&tableDormant != 0
	return ad.Err()
}

func (v *nftView) addChain(body []byte) error {
	family, ad, err := attributes(body)
	if err != nil {
		return err
	}
	name, hooked, uses := nftName{family: family}, false, uint32(0)
	for ad.Next() {
		switch ad.Type() {
		case nftChainTable:
			name.table = ad.String()
		case nftChainName:
			name.chain = ad.String()
		case nftChainHook:
			hooked = true
		case nftChainUse:
			uses = ad.Uint32()
		}
	}
	v.hooked[name], v.uses[name] = hooked, uses
	return ad.Err()
}

func (v *nftView) addRule(body []byte) error {
	family, ad, err := attributes(body)
	if err != nil {
		return err
	}
	chain := nftName{family: family}
	r := Rule{System: Nftables, Family: nftFamilies[family]}
	var targets []target
	for ad.Next() {
		switch ad.Type() {
		case nftRuleTable:
			chain.table = ad.String()
		case nftRuleChain:
			chain.chain = ad.String()
		case nftRuleHandle:
			r.Number = ad.Uint64()
		case nftRuleExpressions:
			if b := ad.Bytes(); !bytes.Contains(b, []byte("queue\x00")) && !bytes.Contains(b, []byte("NFQUEUE\x00")) {
				continue // the names of the two expressions: most rules have neither
			}
			ad.Nested(func(list *netlink.AttributeDecoder) error { return r.expressions(list, &targets) })
		}
	}
	if err := ad.Err(); err != nil {
		return fmt.Errorf("rule of nftables: %w", err)
	}
	v.rules[chain]++
	r.Table, r.Chain = chain.table, chain.chain
	if r.Family == "" {
		return nil
	}
	for _, t := range targets {
		r.First, r.Last, r.Bypass = t.first, t.last, t.bypass
		v.found = append(v.found, nftRule{chain, r})
	}
	return nil
}

// expressions looks for what queues, and for a counter.
func (r *Rule) expressions(list *netlink.AttributeDecoder, targets *[]target) error {
	for list.Next() {
		if list.Type() != nftListElem {
			continue
		}
		name := ""
		list.Nested(func(e *netlink.AttributeDecoder) error {
			for e.Next() {
				switch e.Type() {
				case nftExprName:
					name = e.String()
				case nftExprData: // comes after the name
					e.Nested(func(data *netlink.AttributeDecoder) error { return r.expression(name, data, targets) })
				}
			}
			return nil
		})
	}
	return nil
}

func (r *Rule) expression(name string, data *netlink.AttributeDecoder, targets *[]target) error {
	switch name {
	case "counter":
		r.Counted = true
		for data.Next() {
			if data.Type() == nftCounterPackets {
				r.Packets = data.Uint64()
			}
		}
	case "queue":
		if t, ok := nativeQueue(data); ok {
			*targets = append(*targets, t)
		}
	case "target":
		if t, ok, err := compatTarget(data); err != nil {
			return err
		} else if ok {
			*targets = append(*targets, t)
		}
	}
	return nil
}

// nativeQueue decodes the statement queue. It reports false where the number of the queue comes out of a register, as
// with "queue to ... map": which queues these are depends on the packet.
func nativeQueue(data *netlink.AttributeDecoder) (t target, ok bool) {
	var first, total, flags uint16
	for data.Next() {
		switch data.Type() {
		case nftQueueNum:
			first, ok = data.Uint16(), true
		case nftQueueTotal:
			total = data.Uint16()
		case nftQueueFlags:
			flags = data.Uint16()
		}
	}
	t = spread(first, total)
	t.bypass = flags&queueBypass != 0
	return t, ok
}

// compatTarget decodes an xtables target in a rule of nftables, and reports whether it is NFQUEUE.
func compatTarget(data *netlink.AttributeDecoder) (t target, ok bool, err error) {
	var name string
	var revision uint32
	var info []byte
	for data.Next() {
		switch data.Type() {
		case nftTargetName:
			name = data.String()
		case nftTargetRevision:
			revision = data.Uint32()
		case nftTargetInfo:
			info = data.Bytes()
		}
	}
	if name != nfqueueName {
		return target{}, false, nil
	}
	t, err = nfqueue(revision, info)
	return t, err == nil, err
}
