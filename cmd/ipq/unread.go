package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ipq/internal/queuerules"
	"ipq/internal/wire"
)

// unreadRule is a rule that sends packets to queues that no program reads.
type unreadRule struct {
	Unread     string  `json:"unread_queues"` // "3", "2-3,7"
	First      uint16  `json:"first_queue"`   // of those that the rule names
	Last       uint16  `json:"last_queue"`
	Bypass     bool    `json:"bypass"` // the packets pass; else the kernel drops them
	System     string  `json:"system"` // nftables, iptables
	Family     string  `json:"family"`
	Table      string  `json:"table"`
	Chain      string  `json:"chain"`
	Number     uint64  `json:"number"`            // the handle, or the place in the chain
	Packets    *uint64 `json:"packets,omitempty"` // that the rule has counted, if it counts
	Netns      string  `json:"netns,omitempty"`
	NetnsInode uint64  `json:"netns_inode,omitempty"`
}

// unread lists the rules of a namespace that feed a queue without a reader. A program opens its queue before it makes its
// rules and closes it after them, so the queues are looked at before the rules and again after them.
func (ns namespace) unread(proc string, queues []hostQueue) (list []unreadRule, err error) {
	var rules []queuerules.Rule
	err = ns.inside(proc, func() (err error) { rules, err = queuerules.List(); return err })
	bound := make(map[uint16]bool)
	for _, q := range queues {
		bound[q.Queue] = true
	}
	if list = ns.without(bound, rules); len(list) == 0 {
		return nil, err
	}
	again := ns.table(proc, func(_ string, table []wire.QueueInfo) {
		for _, q := range table {
			bound[q.Number] = true
		}
	})
	if again != nil {
		return nil, again
	}
	return ns.without(bound, rules), err
}

// without picks the rules that feed a queue that is not bound.
func (ns namespace) without(bound map[uint16]bool, rules []queuerules.Rule) (list []unreadRule) {
	sorted := slices.Sorted(maps.Keys(bound))
	for _, r := range rules {
		unread := ranges(r.First, r.Last, sorted)
		if unread == "" {
			continue
		}
		u := unreadRule{
			Unread: unread, First: r.First, Last: r.Last, Bypass: r.Bypass,
			System: r.System, Family: r.Family, Table: r.Table, Chain: r.Chain, Number: r.Number,
			Netns: ns.label, NetnsInode: ns.inode,
		}
		if r.Counted {
			u.Packets = &r.Packets
		}
		list = append(list, u)
	}
	return list
}

// ranges writes the numbers from first to last that are not in the sorted list, such as "2-3,7". It takes no longer for a
// wide range: whoever may make a network namespace may fill it with rules for all queues.
func ranges(first, last uint16, without []uint16) string {
	var list []string
	next := int(first)
	i, _ := slices.BinarySearch(without, first)
	for ; i < len(without) && without[i] <= last; i++ {
		n := int(without[i])
		if n > next {
			list = append(list, span(next, n-1))
		}
		next = n + 1
	}
	if next <= int(last) {
		list = append(list, span(next, int(last)))
	}
	return strings.Join(list, ",")
}

func span(first, last int) string {
	if first == last {
		return strconv.Itoa(first)
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// name is how a person says which queues are meant.
func (r unreadRule) name() string {
	name := "queue " + r.Unread
	if r.several() {
		name = "queues " + r.Unread
	}
	if r.Netns != "" {
		name += " in " + printable(r.Netns)
	}
	return name
}

func (r unreadRule) several() bool { return strings.ContainsAny(r.Unread, "-,") }

// finding says what happens to the packets, and which rule sends them.
func (r unreadRule) finding() string {
	queue := "it"
	if r.several() {
		queue = "them"
	}
	happens := "the kernel drops what is sent there"
	if r.Bypass {
		happens = "packets pass unseen, because the rule has bypass"
	}
	rule := fmt.Sprintf("handle %d (nft)", r.Number)
	if r.System == queuerules.Iptables {
		rule = fmt.Sprintf("rule %d (%s)", r.Number, map[string]string{"ip": "iptables-legacy", "ip6": "ip6tables-legacy"}[r.Family])
	}
	text := fmt.Sprintf("no program reads %s, so %s: table %s %s, chain %s, %s", queue, happens, r.Family, printable(r.Table), printable(r.Chain), rule)
	if all := span(int(r.First), int(r.Last)); all != r.Unread {
		text += ", which spreads over queues " + all
	}
	if r.Packets != nil {
		text += fmt.Sprintf(", packets counted: %d", *r.Packets)
	}
	return text
}
