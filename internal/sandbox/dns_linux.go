package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers queries as the server of the whole name space: every name is a name of one host, but for those that
// never are one (RFC 6761: "invalid"; and what addresses are called).
type nameServer struct {
	ipv4, ipv6 netip.Addr // of the host; ipv6 is not valid where the kernel has no IPv6
}

const (
	dnsTTL = 60 // seconds

	// dnsPayload is how many bytes of a datagram the server takes, for EDNS: what every path carries in one piece. No
	// response comes near it, nor near the 512 bytes that a query without EDNS allows, so that none is ever truncated.
	dnsPayload = 1232

	rcodeBadVersion dnsmessage.RCode = 16 // BADVERS of RFC 6891
)

// dnsNothing are the domains in which there are no names.
var dnsNothing = []string{"invalid.", "in-addr.arpa.", "ip6.arpa."}

// errNoQuery is of a message that must not be answered: a response, or less than a header.
var errNoQuery = errors.New("not a DNS query")

// respond returns the response to a query, and the name that it asks for, with no dot at its end. A query that cannot be
// answered has a response that says so.
func (s *nameServer) respond(query []byte) (response []byte, name string, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return nil, "", errNoQuery
	}
	r := dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, CheckingDisabled: h.CheckingDisabled}
	if h.OpCode != 0 {
		r.RCode = dnsmessage.RCodeNotImplemented
		response, err := (&dnsmessage.Message{Header: r}).Pack()
		return response, "", err
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 {
		r.RCode = dnsmessage.RCodeFormatError
		response, err := (&dnsmessage.Message{Header: r}).Pack()
		return response, "", err
	}
	q := questions[0]
	edns, rcode := options(&p)
	r.RCode, r.Authoritative, r.RecursionAvailable = rcode, true, true
	var found []dnsmessage.ResourceBody
	if rcode == dnsmessage.RCodeSuccess {
		found, r.RCode = s.look(q)
	}
	response, err = pack(r, q, found, edns)
	return response, strings.TrimSuffix(q.Name.String(), "."), err
}

// options reads what a query has behind its question: nothing, or one OPT record among others that do not matter.
func options(p *dnsmessage.Parser) (edns *dnsmessage.ResourceHeader, rcode dnsmessage.RCode) {
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return nil, dnsmessage.RCodeFormatError
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return edns, rcode
		}
		if err != nil || p.SkipAdditional() != nil {
			return nil, dnsmessage.RCodeFormatError
		}
		if h.Type != dnsmessage.TypeOPT {
			continue
		}
		if edns != nil || h.Name.String() != "." {
			return nil, dnsmessage.RCodeFormatError
		}
		if version := h.TTL >> 16 & 0xff; version != 0 {
			rcode = rcodeBadVersion
		}
		edns = &h
	}
}

// look returns the records that a question asks for. No record and no error is that the name has none of that type.
func (s *nameServer) look(q dnsmessage.Question) (found []dnsmessage.ResourceBody, rcode dnsmessage.RCode) {
	if q.Class != dnsmessage.ClassINET && q.Class != dnsmessage.ClassANY {
		return nil, dnsmessage.RCodeRefused
	}
	name := "." + strings.ToLower(q.Name.String())
	for _, domain := range dnsNothing {
		if strings.HasSuffix(name, "."+domain) {
			return nil, dnsmessage.RCodeNameError
		}
	}
	if name == ".." {
		return nil, dnsmessage.RCodeSuccess // the root has no address
	}
	if q.Type == dnsmessage.TypeA || q.Type == dnsmessage.TypeALL {
		found = append(found, &dnsmessage.AResource{A: s.ipv4.As4()})
	}
	if (q.Type == dnsmessage.TypeAAAA || q.Type == dnsmessage.TypeALL) && s.ipv6.IsValid() {
		found = append(found, &dnsmessage.AAAAResource{AAAA: s.ipv6.As16()})
	}
	return found, dnsmessage.RCodeSuccess
}

// pack builds a response: with the root's SOA record where there is nothing else (RFC 2308), and an OPT record if the query
// had one, which then has the upper bits of the code.
func pack(h dnsmessage.Header, q dnsmessage.Question, found []dnsmessage.ResourceBody, edns *dnsmessage.ResourceHeader) ([]byte, error) {
	resource := func(name dnsmessage.Name, body dnsmessage.ResourceBody) dnsmessage.Resource {
		return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: dnsTTL}, Body: body}
	}
	m := dnsmessage.Message{Header: h, Questions: []dnsmessage.Question{q}}
	m.RCode &= 0xf
	for _, body := range found {
		m.Answers = append(m.Answers, resource(q.Name, body))
	}
	if len(found) == 0 && (h.RCode == dnsmessage.RCodeSuccess || h.RCode == dnsmessage.RCodeNameError) {
		root := dnsmessage.MustNewName(".")
		m.Authorities = []dnsmessage.Resource{resource(root, &dnsmessage.SOAResource{
			NS: root, MBox: root, Serial: 1, Refresh: dnsTTL, Retry: dnsTTL, Expire: dnsTTL, MinTTL: dnsTTL,
		})}
	}
	if edns != nil {
		option := dnsmessage.Resource{Body: &dnsmessage.OPTResource{}}
		if err := option.Header.SetEDNS0(dnsPayload, h.RCode, edns.DNSSECAllowed()); err != nil {
			return nil, err
		}
		m.Additionals = []dnsmessage.Resource{option}
	}
	return m.Pack()
}

// appendQuery returns a query for the A, or AAAA, record of a name.
func appendQuery(id uint16, name string, aaaa bool) ([]byte, error) {
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, fmt.Errorf("DNS name %q: %w", name, err)
	}
	q := dnsmessage.Question{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	if aaaa {
		q.Type = dnsmessage.TypeAAAA
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{q}}
	return m.Pack()
}

// answerOf returns the address that a response has for a name.
func answerOf(response []byte, name string) (netip.Addr, error) {
	var m dnsmessage.Message
	if err := m.Unpack(response); err != nil {
		return netip.Addr{}, fmt.Errorf("DNS response: %w", err)
	}
	if !m.Response || len(m.Questions) != 1 || m.Questions[0].Name.String() != name+"." || len(m.Answers) != 1 {
		return netip.Addr{}, fmt.Errorf("DNS response: %v", m.GoString())
	}
	switch body := m.Answers[0].Body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(body.A), nil
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(body.AAAA), nil
	}
	return netip.Addr{}, fmt.Errorf("DNS response: %v", m.GoString())
}
