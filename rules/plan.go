package rules

import (
	"errors"
	"fmt"
)

// Plan is a set of rules with one target.
type Plan struct {
	// Target is where the packets go. The zero value is queue 0, without bypass.
	Target Target
	// Chains are the points at which packets are looked at; at least one. A packet that passes several is queued at
	// each: see Warnings for what that costs.
	Chains []Chain
	// RepeatMark is a mark, usually of one bit, that tells which packets come back from ipq.Repeat: a packet that has
	// all of its bits passes the next chain of the plan that it meets, which takes these bits away again and leaves the
	// others. A handler that answers so never makes a loop, and the packet is queued once at each chain:
	//
	//	p.SetMark(plan.RepeatMark, plan.RepeatMark)
	//	return ipq.Repeat
	//
	// Nothing behind the chain sees these bits: no later chain, no routing rule, no tunnel. A mark would stay on a
	// packet while the header of a tunnel is put on or taken off, and let what is inside pass unseen. What later rules
	// are to see goes into other bits. Whoever may set marks passes one chain by it: take bits that nothing else uses.
	// 0 is none: a packet that is repeated is then queued again, for ever unless an exception of the Match lets it
	// pass.
	RepeatMark uint32
	// Netns is the path of the network namespace to install into, such as /run/netns/blue or /proc/4711/ns/net. Empty
	// is the caller's own. Entering another one requires CAP_SYS_ADMIN. Table.CheckNetns tells when another one has
	// taken its place.
	Netns string
	// Encoding is how the queue is said to the kernel. Leave it zero: Install then finds out what the kernel has.
	Encoding Encoding
}

// Target is a queue, or a range of queues among which the packets are spread.
type Target struct {
	// Queue is the queue's number, the first one of a range.
	Queue uint16
	// Last is the last queue of a range; 0 means that there is only Queue.
	Last uint16
	// Balance says how a range is spread. It means nothing for one queue.
	Balance Balance
	// Bypass lets packets pass while no program has bound their queue. Without it the kernel drops them.
	Bypass bool
}

// queues is how many queues the target has.
func (t Target) queues() int {
	if t.Last == 0 {
		return 1
	}
	return int(t.Last) - int(t.Queue) + 1
}

// Balance says which queue of a range takes a packet.
type Balance uint8

const (
	// BalanceFlow spreads flows: addresses, protocol and ports decide, and both directions of a flow go to the same
	// queue. Requires CONFIG_NFT_HASH.
	BalanceFlow Balance = iota
	// BalanceAddresses is the kernel's own spreading for queues: only the two addresses decide, so everything between two
	// hosts goes to one queue.
	BalanceAddresses
	// BalanceCPU takes the queue whose place in the range is the number of the CPU, modulo the length of the range. It
	// is the cheapest, and the two directions of a flow may go to different queues.
	BalanceCPU
)

// String is the name of the kind of balance in lower case.
func (b Balance) String() string {
	switch b {
	case BalanceFlow:
		return "flow"
	case BalanceAddresses:
		return "addresses"
	case BalanceCPU:
		return "cpu"
	}
	return fmt.Sprintf("Balance(%d)", uint8(b))
}

// Chain takes packets at one point of their way.
type Chain struct {
	// Hook is the point.
	Hook Hook
	// Priority orders this chain among all others at the hook: the lowest runs first. 0 is where filters usually are,
	// -300 is before connection tracking (-200) and address translation (-100, 100).
	Priority int32
	// Match lists which packets are queued: those that at least one Match takes. Empty is every packet.
	Match []Match
}

// Hook is a point in a packet's way through the kernel. The numbers are the kernel's.
type Hook uint8

// The hooks.
const (
	Prerouting  Hook = iota // NF_INET_PRE_ROUTING: everything that arrived
	Input                   // NF_INET_LOCAL_IN: what is for this host
	Forward                 // NF_INET_FORWARD: what is for others
	Output                  // NF_INET_LOCAL_OUT: what this host sends
	Postrouting             // NF_INET_POST_ROUTING: everything that leaves
)

// String is nft's name of the hook.
func (h Hook) String() string {
	switch h {
	case Prerouting:
		return "prerouting"
	case Input:
		return "input"
	case Forward:
		return "forward"
	case Output:
		return "output"
	case Postrouting:
		return "postrouting"
	}
	return fmt.Sprintf("Hook(%d)", uint8(h))
}

// Encoding is one of the two ways to say "queue" to nftables.
type Encoding uint8

const (
	// Native is the queue statement, in one table of family inet. Requires CONFIG_NFT_QUEUE.
	Native Encoding = 1 + iota
	// Compat is the xtables target NFQUEUE, revision 3, in a table of family ip and one of family ip6. Requires
	// CONFIG_NFT_COMPAT and CONFIG_NETFILTER_XT_TARGET_NFQUEUE.
	Compat
)

// String is "native" or "compat", and "auto" for the zero value.
func (e Encoding) String() string {
	switch e {
	case 0:
		return "auto"
	case Native:
		return "native"
	case Compat:
		return "compat"
	}
	return fmt.Sprintf("Encoding(%d)", uint8(e))
}

// ErrInvalid is what errors.Is finds in the error for a plan that cannot be installed anywhere.
var ErrInvalid = errors.New("invalid plan")

// check returns an error that says what is wrong with the plan, and where.
func (p Plan) check() error {
	if err := p.Target.check(); err != nil {
		return fmt.Errorf("rules: %w: %w", ErrInvalid, err)
	}
	if len(p.Chains) == 0 {
		return fmt.Errorf("rules: %w: it has no chain, so it would queue nothing", ErrInvalid)
	}
	if p.Encoding > Compat {
		return fmt.Errorf("rules: %w: unknown encoding %d", ErrInvalid, p.Encoding)
	}
	for i, c := range p.Chains {
		if c.Hook > Postrouting {
			return fmt.Errorf("rules: %w: chain %d: unknown hook %d", ErrInvalid, i, c.Hook)
		}
		for j, m := range c.Match {
			if err := m.check(c, false); err != nil {
				return fmt.Errorf("rules: %w: chain %d (%s), match %d: %w", ErrInvalid, i, c.Hook, j, err)
			}
		}
	}
	return nil
}

func (t Target) check() error {
	if t.Last != 0 && t.Last < t.Queue {
		return fmt.Errorf("the range of queues ends (%d) before it begins (%d)", t.Last, t.Queue)
	}
	if t.Balance > BalanceCPU {
		return fmt.Errorf("unknown balance %d", t.Balance)
	}
	if t.queues() > 0xffff {
		return errors.New("the kernel cannot be told of all 65536 queues at once: leave one out")
	}
	if t.queues() > maxQueues && t.Balance == BalanceFlow {
		return fmt.Errorf("%d queues are too many to balance by flow: at most %d", t.queues(), maxQueues)
	}
	return nil
}

// maxQueues bounds the chains that balancing by flow makes, one for each queue.
const maxQueues = 1024
