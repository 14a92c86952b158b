package rules

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// String is the plan in nft's syntax: what Install would make with the Native encoding, with the name "ipq", after
// its Warnings as comments. For a plan that cannot be installed it is a comment that says why.
func (p Plan) String() string {
	if err := p.check(); err != nil {
		return "# " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
	}
	var b strings.Builder
	for _, w := range p.Warnings() {
		fmt.Fprintf(&b, "# warning: %s\n", w)
	}
	return b.String() + text(p.compile(Native, "ipq"))
}

func text(tables []tableSpec) string {
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&b, "table %s %s {\n", t.family, t.name)
		fmt.Fprintf(&b, "\tcounter %s {\n\t}\n", queuedCounter)
		for _, c := range t.chains {
			b.WriteByte('\n')
			fmt.Fprintf(&b, "\tchain %s {\n", c.name)
			if c.base != nil {
				fmt.Fprintf(&b, "\t\ttype filter hook %s priority %d; policy accept;\n", c.base.Hook, c.base.Priority)
			}
			for _, r := range c.rules {
				fmt.Fprintf(&b, "\t\t%s\n", r)
			}
			b.WriteString("\t}\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// String is the rule in nft's syntax.
func (r ruleSpec) String() string {
	var words []string
	transport := r.transport()
	for _, c := range r.conditions {
		switch {
		case c.field == fieldFamily && r.reads(fieldSrc4, fieldDst4, fieldSrc6, fieldDst6, fieldICMPType, fieldICMPv6Type):
			// "ip saddr" means IPv4 to nft already ...
		case c.field == fieldProtocol && r.reads(fieldICMPType, fieldICMPv6Type):
			// ... as "icmp type" means ICMP ...
		case c.field == fieldProtocol && transport != "th" && r.reads(fieldSrcPort, fieldDstPort):
			// ... and "tcp dport" TCP.
		default:
			words = append(words, c.text(transport))
		}
	}
	if r.unmark == 0xffffffff {
		words = append(words, "meta mark set 0x0")
	} else if r.unmark != 0 {
		words = append(words, fmt.Sprintf("meta mark set meta mark & %#x", ^r.unmark))
	}
	return strings.Join(append(words, r.action.String()), " ")
}

// reads reports whether a condition looks at one of the fields.
func (r ruleSpec) reads(fields ...field) bool {
	return slices.ContainsFunc(r.conditions, func(c condition) bool { return slices.Contains(fields, c.field) })
}

// transport is what nft calls the header that holds the ports: the protocol when there is one, else "th".
func (r ruleSpec) transport() string {
	for _, c := range r.conditions {
		if c.field == fieldProtocol && len(c.spans) == 1 {
			return Protocol(c.spans[0].lo[0]).String()
		}
	}
	return "th"
}

// text is the condition in nft's syntax.
func (c condition) text(transport string) string {
	name := c.field.name(transport)
	switch c.field {
	case fieldMark:
		if c.mask == 0xffffffff {
			return fmt.Sprintf("%s %#x", name, c.value)
		}
		return fmt.Sprintf("%s & %#x == %#x", name, c.mask, c.value)
	case fieldState:
		return name + " " + ConnState(c.mask).String()
	}
	var values []string
	for _, s := range c.spans {
		values = append(values, s.text(c.field))
	}
	if len(values) == 1 {
		return name + " " + values[0]
	}
	return name + " { " + strings.Join(values, ", ") + " }"
}

func (f field) name(transport string) string {
	switch f {
	case fieldIn:
		return "iifname"
	case fieldOut:
		return "oifname"
	case fieldPktType:
		return "meta pkttype"
	case fieldFamily:
		return "meta nfproto"
	case fieldProtocol:
		return "meta l4proto"
	case fieldSrc4:
		return "ip saddr"
	case fieldDst4:
		return "ip daddr"
	case fieldSrc6:
		return "ip6 saddr"
	case fieldDst6:
		return "ip6 daddr"
	case fieldSrcPort:
		return transport + " sport"
	case fieldDstPort:
		return transport + " dport"
	case fieldICMPType:
		return "icmp type"
	case fieldICMPv6Type:
		return "icmpv6 type"
	case fieldTransport:
		return "@th,8,24" // offset and length in bits
	case fieldMark:
		return "meta mark"
	case fieldState:
		return "ct state"
	case fieldPackets:
		return "ct packets"
	case fieldSrcType:
		return "fib saddr type"
	case fieldNextHop:
		return "rt ip nexthop"
	}
	panic(f)
}

// text is the span as a value of the field, in nft's syntax.
func (s span) text(f field) string {
	if n := s.prefix(); !s.single() && n >= 0 && f >= fieldSrc4 && f <= fieldDst6 {
		return fmt.Sprintf("%s/%d", value(f, s.lo), n)
	}
	if s.single() {
		return value(f, s.lo)
	}
	return value(f, s.lo) + "-" + value(f, s.hi)
}

func value(f field, v []byte) string {
	switch f {
	case fieldIn, fieldOut:
		name, _, _ := strings.Cut(string(v), "\x00")
		return `"` + name + `"` // check has refused what quotes could not hold
	case fieldPktType:
		return map[byte]string{pktBroadcast: "broadcast", pktMulticast: "multicast"}[v[0]]
	case fieldFamily:
		return map[byte]string{byte(IPv4): "ipv4", byte(IPv6): "ipv6"}[v[0]]
	case fieldProtocol:
		return Protocol(v[0]).String()
	case fieldSrc4, fieldDst4, fieldSrc6, fieldDst6, fieldNextHop:
		a, _ := netip.AddrFromSlice(v)
		return a.String()
	case fieldSrcType:
		return "local"
	case fieldPackets:
		return fmt.Sprint(binary.BigEndian.Uint64(v))
	case fieldSrcPort, fieldDstPort:
		return fmt.Sprint(binary.BigEndian.Uint16(v))
	case fieldTransport:
		return fmt.Sprintf("%#x", uint32(v[0])<<16|uint32(v[1])<<8|uint32(v[2]))
	}
	return fmt.Sprint(v[0]) // ICMP types
}

// String is the action in nft's syntax.
func (a action) String() string {
	switch a.kind {
	case actionReturn:
		return "return"
	case actionJump:
		return "jump " + a.chain
	case actionGoto:
		return "goto " + a.chain
	case actionSpread:
		var arms []string
		for i, name := range a.spread {
			arms = append(arms, fmt.Sprintf("%d : goto %s", i, name))
		}
		return fmt.Sprintf("symhash mod %d vmap { %s }", len(a.spread), strings.Join(arms, ", "))
	}
	return fmt.Sprintf("counter name %q %s", queuedCounter, a.target.statement())
}

// statement sends packets to the target, in nft's syntax. Balance by flow is done before it.
func (t Target) statement() string {
	s := fmt.Sprintf("queue num %d", t.Queue)
	var flags []string
	if t.queues() > 1 {
		s += fmt.Sprintf("-%d", t.Last)
		if t.Balance == BalanceCPU {
			flags = append(flags, "fanout")
		}
	}
	if t.Bypass {
		flags = append(flags, "bypass")
	}
	if len(flags) != 0 {
		s += " " + strings.Join(flags, ",")
	}
	return s
}

func join[T fmt.Stringer](list []T) string {
	var words []string
	for _, v := range list {
		words = append(words, v.String())
	}
	return strings.Join(words, ", ")
}
