package filter

import (
	"fmt"
	"net/netip"
	"strings"

	"ipq/packet"
)

// expr is a node of the syntax tree.
type expr interface {
	// String is the expression in the language, so that parsing it gives the same tree.
	String() string
	// eval decides about a packet.
	eval(h *packet.Headers) bool
	// terms are what rules can say about the expression, and about its opposite.
	terms(opposite bool) disjunction
}

// binaryExpr is "x and y", or "x or y".
type binaryExpr struct {
	or   bool
	x, y expr
	// What rules can say about it, and about its opposite; made once, as it is made of that of both sides.
	does, doesNot disjunction
	fits          bool // what they say about it includes what they say about y
}

func newBinary(or bool, x, y expr) *binaryExpr {
	b := &binaryExpr{or: or, x: x, y: y, fits: true}
	if or { // not (x or y) is not x and not y
		b.does = x.terms(false).or(y.terms(false))
		b.doesNot, _ = x.terms(true).and(y.terms(true))
	} else {
		b.does, b.fits = x.terms(false).and(y.terms(false))
		b.doesNot = x.terms(true).or(y.terms(true))
	}
	return b
}

func (b *binaryExpr) String() string {
	word := " and "
	if b.or {
		word = " or "
	}
	y := b.y.String()
	if _, ok := b.y.(*binaryExpr); ok { // on the left it needs no parentheses: that is how chains are read
		y = "(" + y + ")"
	}
	return b.x.String() + word + y
}

// not is "not x".
type not struct{ x expr }

func (n *not) String() string {
	if _, ok := n.x.(*binaryExpr); ok {
		return "not (" + n.x.String() + ")"
	}
	return "not " + n.x.String()
}

// isProtocol is "tcp" and the like: the packet is of a family, or of a protocol, or both.
type isProtocol struct {
	name     string
	family   uint8           // 4 or 6; 0 is both
	protocol packet.Protocol // anyProtocol is all
}

const anyProtocol = packet.Protocol(255) // IANA keeps it reserved

// protocols are the words of isProtocol.
var protocols = map[string]isProtocol{
	"ip":    {"ip", 4, anyProtocol},
	"ip6":   {"ip6", 6, anyProtocol},
	"tcp":   {"tcp", 0, packet.TCP},
	"udp":   {"udp", 0, packet.UDP},
	"icmp":  {"icmp", 4, packet.ICMP},
	"icmp6": {"icmp6", 6, packet.ICMPv6},
}

func (p *isProtocol) String() string { return p.name }

// direction says which of two ends of a packet a test is about.
type direction uint8

const (
	eitherEnd direction = iota
	sourceEnd
	destinationEnd
	bothEnds
)

// String is the words for it, with a space behind if there are any.
func (d direction) String() string { return [...]string{"", "src ", "dst ", "src and dst "}[d] }

// hasAddress is "host A" or "net P".
type hasAddress struct {
	qualifier string // "ip", "ip6" or nothing: it changes nothing, as the address has a family
	direction direction
	host      bool // said with "host"
	prefix    netip.Prefix
}

func (a *hasAddress) String() string {
	q := a.qualifier
	if q != "" {
		q += " "
	}
	if a.host {
		return fmt.Sprintf("%s%shost %s", q, a.direction, a.prefix.Addr())
	}
	return fmt.Sprintf("%s%snet %s", q, a.direction, a.prefix)
}

// hasPort is "port N" or "portrange A-B".
type hasPort struct {
	protocols   []packet.Protocol
	direction   direction
	first, last uint16
}

// anyPort are the protocols whose ports are looked at when none is said.
var anyPort = []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP}

func (p *hasPort) String() string {
	var b strings.Builder
	if len(p.protocols) == 1 {
		b.WriteString(p.protocols[0].String() + " ")
	}
	b.WriteString(p.direction.String())
	if p.first == p.last {
		fmt.Fprintf(&b, "port %d", p.first)
	} else {
		fmt.Fprintf(&b, "portrange %d-%d", p.first, p.last)
	}
	return b.String()
}
