// Package queuerules finds the rules of a network namespace that send packets to queues: those of nftables, which are
// those of iptables-nft too, and those of the older iptables-legacy. It only reads, and loads no kernel module.
package queuerules

// Rule is a rule that sends packets to a queue, or spreads them over a range of queues.
type Rule struct {
	System string // whose rule it is: Nftables, Iptables
	Family string // ip, ip6, inet, bridge
	Table  string // chosen by whoever made the rule, as Chain: escape both before printing
	Chain  string
	Number uint64 // in nftables the handle, in iptables the place in the chain, the first is 1

	First, Last uint16 // the queues, both included
	Bypass      bool   // where no program reads the queue, packets pass; else they are dropped

	Counted bool   // whether the rule counts packets
	Packets uint64 // that it has queued since it was made or its counter was reset
}

// The systems that have rules.
const (
	Nftables = "nftables"
	Iptables = "iptables"
)

// target is where a rule sends packets.
type target struct {
	first, last uint16
	bypass      bool
}

// spread is the target of total queues from first on. A total of 0 is one queue.
func spread(first, total uint16) target {
	last := int(first) + max(int(total), 1) - 1
	return target{first: first, last: uint16(min(last, 0xffff))}
}
