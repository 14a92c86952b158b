package filter

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ipq/packet"
)

// qualifiers are the words before a value, which say what it is.
type qualifiers struct {
	protocol  string // "ip", "ip6", "tcp", "udp", or nothing
	direction direction
	kind      string // "host", "net", "port", "portrange", or nothing: an address or network then
}

var (
	directions = map[string]direction{"src": sourceEnd, "dst": destinationEnd}
	kinds      = []string{"host", "net", "port", "portrange"}
)

// test is one test: words and a value, or a word alone, or a value alone.
func (p *parser) test() (expr, error) {
	t := p.peek()
	proto, isProto := protocols[t.text]
	if isProto {
		p.next()
		if _, isDirection := directions[p.peek().text]; !isDirection && !slices.Contains(kinds, p.peek().text) {
			p.last = nil
			return &proto, nil
		}
		p.at--
	}
	if _, isDirection := directions[t.text]; isProto || isDirection || slices.Contains(kinds, t.text) {
		q, err := p.qualifiers()
		if err != nil {
			return nil, err
		}
		p.last = q
		if p.peek().kind == tokenOpen {
			return p.nested(p.value, p.values)
		}
		return p.value()
	}
	if !looksLikeValue(t.text) {
		return nil, p.fault(t, "%s is not a word of the filter language: it knows ip, ip6, tcp, udp, icmp, icmp6, src, dst, host, net, "+
			"port, portrange, and, or, not", quote(t.text))
	}
	if p.last == nil {
		if _, err := strconv.Atoi(t.text); err == nil {
			return nil, p.fault(t, "a number of what? Write: port %s", t.text)
		}
		p.last = &qualifiers{}
	}
	return p.value()
}

// looksLikeValue tells a value from a misspelt word.
func looksLikeValue(s string) bool {
	return s[0] >= '0' && s[0] <= '9' || strings.ContainsAny(s, ":./")
}

// qualifiers reads [protocol] [direction] [kind], of which at least one is there.
func (p *parser) qualifiers() (*qualifiers, error) {
	var q qualifiers
	first := p.peek()
	if _, ok := protocols[first.text]; ok {
		q.protocol = p.next().text
	}
	if d, ok := directions[p.peek().text]; ok {
		word := p.next()
		q.direction = d
		if other, ok := directions[p.peekAt(1).text]; ok && (p.peek().kind == tokenOr || p.peek().kind == tokenAnd) {
			if other == d {
				return nil, p.fault(p.peekAt(1), "%s stands on both sides", quote(word.text))
			}
			q.direction = eitherEnd
			if p.next().kind == tokenAnd {
				q.direction = bothEnds
			}
			p.next()
		}
	}
	if slices.Contains(kinds, p.peek().text) {
		q.kind = p.next().text
	}
	switch ports := q.kind == "port" || q.kind == "portrange"; q.protocol {
	case "icmp", "icmp6":
		if ports {
			return nil, p.fault(first, "%s has no ports", q.protocol)
		}
		return nil, p.fault(first, "%s says nothing about an address: write: %s and ...", q.protocol, q.protocol)
	case "tcp", "udp":
		if !ports {
			return nil, p.fault(first, "%s says nothing about an address: write: %s and ...", q.protocol, q.protocol)
		}
	case "ip", "ip6":
		if ports {
			return nil, p.fault(first, "%s says nothing about a port: write: %s and ...", q.protocol, q.protocol)
		}
	}
	return &q, nil
}

// values are values with operators between them, which all have the words before the parenthesis.
func (p *parser) values() (expr, error) { return p.chain(p.value) }

// value reads a value, and what may stand for one in a list: a negated one, or a list in parentheses.
func (p *parser) value() (expr, error) {
	t := p.peek()
	switch {
	case t.kind == tokenNot || t.kind == tokenOpen:
		return p.nested(p.value, p.values)
	case t.kind != tokenWord:
		if t.kind == tokenEnd {
			return nil, p.fault(t, "the filter ends where %s is expected", p.last.wants())
		}
		return nil, p.fault(t, "expected %s", p.last.wants())
	}
	p.next()
	switch p.last.kind {
	case "port":
		return p.port(t, t.text, t.text)
	case "portrange":
		first, last, ok := strings.Cut(t.text, "-")
		if !ok {
			last = first
		}
		return p.port(t, first, last)
	}
	return p.address(t)
}

// wants says what the qualifiers want to be followed by.
func (q *qualifiers) wants() string {
	switch q.kind {
	case "host":
		return "an address"
	case "net":
		return "a network, such as 10.0.0.0/8"
	case "port":
		return "a port number"
	case "portrange":
		return "a range of ports, such as 6000-6008"
	}
	return "an address or a network"
}

func (p *parser) port(t token, first, last string) (expr, error) {
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if errA != nil || errB != nil {
		if p.last.kind == "port" && strings.Contains(t.text, "-") {
			return nil, p.fault(t, "%s is not a port number: write: portrange %s", quote(t.text), t.text)
		}
		return nil, p.fault(t, "%s is not %s: ports are numbers from 0 to 65535", quote(t.text), p.last.wants())
	}
	if a > b {
		return nil, p.fault(t, "the range ends before it begins")
	}
	e := &hasPort{protocols: anyPort, direction: p.last.direction, first: uint16(a), last: uint16(b)}
	switch p.last.protocol {
	case "tcp":
		e.protocols = []packet.Protocol{packet.TCP}
	case "udp":
		e.protocols = []packet.Protocol{packet.UDP}
	}
	return e, nil
}

func (p *parser) address(t token) (expr, error) {
	e := &hasAddress{qualifier: p.last.protocol, direction: p.last.direction, host: p.last.kind == "host"}
	addr, err := netip.ParseAddr(t.text)
	switch {
	case err == nil && addr.Zone() != "":
		return nil, p.fault(t, "an address in a packet has no zone: leave out %s", quote("%"+addr.Zone()))
	case err == nil:
		e.prefix = netip.PrefixFrom(addr, addr.BitLen())
		e.host = e.host || p.last.kind == ""
	case e.host && strings.Contains(t.text, "/"):
		return nil, p.fault(t, "this is a network, not an address: write: net %s", t.text)
	case e.host:
		return nil, p.notAddress(t)
	default:
		if e.prefix, err = parseNet(t.text); err != nil {
			return nil, p.notAddress(t)
		}
		if e.prefix != e.prefix.Masked() {
			return nil, p.fault(t, "there are bits beyond the length: write %s, or another length", e.prefix.Masked())
		}
	}
	a := e.prefix.Addr()
	switch {
	case a.Is4In6():
		return nil, p.fault(t, "this is an IPv4 address: write %s", a.Unmap())
	case e.qualifier == "ip" && !a.Is4(), e.qualifier == "ip6" && a.Is4():
		return nil, p.fault(t, "%s is not an address of %s", t.text, e.qualifier)
	}
	return e, nil
}

func (p *parser) notAddress(t token) error {
	if !looksLikeValue(t.text) || strings.Trim(t.text, "0123456789./:abcdefABCDEF") != "" {
		return p.fault(t, "%s is not %s: names are not looked up", quote(t.text), p.last.wants())
	}
	return p.fault(t, "%s is not %s", quote(t.text), p.last.wants())
}

// parseNet reads a network: with a length, or, for IPv4, as fewer than four bytes, which then are the length.
func parseNet(s string) (netip.Prefix, error) {
	address, length, hasLength := strings.Cut(s, "/")
	if !strings.Contains(address, ":") {
		missing := 3 - strings.Count(address, ".")
		if missing > 0 {
			if !hasLength {
				length = strconv.Itoa(8 * (4 - missing))
			}
			address += strings.Repeat(".0", missing)
		} else if !hasLength {
			length = "32"
		}
		return netip.ParsePrefix(address + "/" + length)
	}
	return netip.ParsePrefix(s)
}
