package sandbox

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

var testServer = nameServer{netip.MustParseAddr("10.7.0.2"), netip.MustParseAddr("fd07::2")}

// query builds a query; edns below 0 is none, else the version.
func query(t testing.TB, name string, kind dnsmessage.Type, class dnsmessage.Class, edns int) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 0x1234, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: class}},
	}
	if edns >= 0 {
		option := dnsmessage.Resource{Body: &dnsmessage.OPTResource{Options: []dnsmessage.Option{{Code: 10, Data: []byte("a cookie")}}}}
		if err := option.Header.SetEDNS0(4096, 0, true); err != nil {
			t.Fatal(err)
		}
		option.Header.TTL |= uint32(edns) << 16
		m.Additionals = append(m.Additionals, option)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRespond(t *testing.T) {
	const in = dnsmessage.ClassINET
	for _, c := range []struct {
		name    string
		kind    dnsmessage.Type
		class   dnsmessage.Class
		edns    int
		rcode   dnsmessage.RCode
		answers string // the types
	}{
		{"a.test.", dnsmessage.TypeA, in, -1, dnsmessage.RCodeSuccess, "TypeA"},
		{"a.test.", dnsmessage.TypeA, in, 0, dnsmessage.RCodeSuccess, "TypeA"},
		{"A.Test.", dnsmessage.TypeAAAA, in, 0, dnsmessage.RCodeSuccess, "TypeAAAA"},
		{"a.test.", dnsmessage.TypeALL, dnsmessage.ClassANY, -1, dnsmessage.RCodeSuccess, "TypeA TypeAAAA"},
		{"a.test.", dnsmessage.TypeMX, in, 0, dnsmessage.RCodeSuccess, ""},
		{"a.test.", dnsmessage.TypeTXT, in, -1, dnsmessage.RCodeSuccess, ""},
		{"a.test.", 65, in, 0, dnsmessage.RCodeSuccess, ""}, // HTTPS, which browsers and curl ask for
		{".", dnsmessage.TypeNS, in, 0, dnsmessage.RCodeSuccess, ""},
		{".", dnsmessage.TypeA, in, 0, dnsmessage.RCodeSuccess, ""},
		{"a.INVALID.", dnsmessage.TypeA, in, 0, dnsmessage.RCodeNameError, ""},
		{"invalid.", dnsmessage.TypeA, in, -1, dnsmessage.RCodeNameError, ""},
		{"notinvalid.", dnsmessage.TypeA, in, -1, dnsmessage.RCodeSuccess, "TypeA"},
		{"2.0.7.10.in-addr.arpa.", dnsmessage.TypePTR, in, 0, dnsmessage.RCodeNameError, ""},
		{"version.bind.", dnsmessage.TypeTXT, dnsmessage.ClassCHAOS, -1, dnsmessage.RCodeRefused, ""},
		{"a.test.", dnsmessage.TypeA, in, 1, rcodeBadVersion, ""},
	} {
		response, name, err := testServer.respond(query(t, c.name, c.kind, c.class, c.edns))
		if err != nil || name != strings.TrimSuffix(c.name, ".") {
			t.Errorf("%s %v: %q, %v", c.name, c.kind, name, err)
			continue
		}
		var m dnsmessage.Message
		if err := m.Unpack(response); err != nil {
			t.Errorf("%s %v: %v", c.name, c.kind, err)
			continue
		}
		var answers []string
		for _, a := range m.Answers {
			answers = append(answers, a.Header.Type.String())
			if a.Header.Name.String() != c.name {
				t.Errorf("%s: a record of %v", c.name, a.Header.Name)
			}
		}
		rcode := m.RCode
		if c.edns >= 0 {
			if len(m.Additionals) != 1 || m.Additionals[0].Header.Type != dnsmessage.TypeOPT {
				t.Errorf("%s %v: additional records %v, want OPT", c.name, c.kind, m.Additionals)
				continue
			}
			h := m.Additionals[0].Header
			rcode = h.ExtendedRCode(m.RCode)
			if h.Class != dnsPayload || h.TTL>>16&0xff != 0 || h.DNSSECAllowed() != (c.edns == 0) || len(m.Additionals[0].Body.(*dnsmessage.OPTResource).Options) != 0 {
				t.Errorf("%s %v: the OPT record is %+v", c.name, c.kind, m.Additionals[0])
			}
		} else if len(m.Additionals) != 0 {
			t.Errorf("%s %v: additional records %v, which were not asked for", c.name, c.kind, m.Additionals)
		}
		// Where there is nothing, and that is certain, the SOA record says for how long.
		soa := len(answers) == 0 && (rcode == dnsmessage.RCodeSuccess || rcode == dnsmessage.RCodeNameError)
		if rcode != c.rcode || strings.Join(answers, " ") != c.answers || m.ID != 0x1234 || !m.Response || m.Truncated || len(m.Authorities) == 1 != soa {
			t.Errorf("%s %v: %v\nwant %v %s", c.name, c.kind, m.GoString(), c.rcode, c.answers)
		}
	}
}

// A kernel without IPv6 has names without an address of that kind.
func TestRespondWithoutIPv6(t *testing.T) {
	s := nameServer{ipv4: testServer.ipv4}
	response, _, err := s.respond(query(t, "a.test.", dnsmessage.TypeAAAA, dnsmessage.ClassINET, -1))
	var m dnsmessage.Message
	if err != nil || m.Unpack(response) != nil || m.RCode != dnsmessage.RCodeSuccess || len(m.Answers) != 0 {
		t.Errorf("%v, %v", m.GoString(), err)
	}
}

// What is no query is not answered, and what is a wrong one is answered with what is wrong.
func TestRespondMalformed(t *testing.T) {
	q := query(t, "a.test.", dnsmessage.TypeA, dnsmessage.ClassINET, 0)
	change := func(f func(b []byte)) []byte {
		b := slices.Clone(q)
		f(b)
		return b
	}
	for name, c := range map[string]struct {
		query []byte
		rcode int // -1: no answer
	}{
		"empty":         {nil, -1},
		"short":         {q[:11], -1},
		"a response":    {change(func(b []byte) { b[2] |= 0x80 }), -1},
		"no question":   {append(slices.Clone(q[:4]), make([]byte, 8)...), 1},
		"cut":           {q[:14], 1},
		"cut behind":    {q[:len(q)-3], 1},
		"two questions": {change(func(b []byte) { b[5] = 2 }), 1},
		"notify":        {change(func(b []byte) { b[2] = 4 << 3 }), 4},
		"two options":   {append(change(func(b []byte) { b[11] = 2 }), q[24:]...), 1},
		"a loop":        {change(func(b []byte) { b[12], b[13] = 0xc0, 12 }), 1},
	} {
		response, _, err := testServer.respond(c.query)
		got := -1
		if err == nil {
			got = int(response[3] & 0xf)
		}
		if got != c.rcode {
			t.Errorf("%s: code %d, %v; want %d", name, got, err, c.rcode)
		}
	}
}

// Whatever comes, the response can be read by others, is about the query and not truncated, and fits any client.
func FuzzRespond(f *testing.F) {
	f.Add(query(f, "a.test.", dnsmessage.TypeA, dnsmessage.ClassINET, -1))
	f.Add(query(f, "a.invalid.", dnsmessage.TypeAAAA, dnsmessage.ClassINET, 0))
	f.Add(query(f, strings.Repeat(strings.Repeat("x", 49)+".", 5), dnsmessage.TypeALL, dnsmessage.ClassANY, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		response, name, err := testServer.respond(b)
		if err != nil {
			if response != nil || name != "" {
				t.Errorf("%x, %q with %v", response, name, err)
			}
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(response); err != nil {
			t.Fatalf("%x is answered by %x: %v", b, response, err)
		}
		if len(response) > 512 || m.Truncated || !m.Response || response[0] != b[0] || response[1] != b[1] {
			t.Errorf("%x is answered by %d bytes, %v", b, len(response), m.GoString())
		}
		for _, q := range m.Questions {
			if got := strings.TrimSuffix(q.Name.String(), "."); got != name {
				t.Errorf("the name is %q, and the question %q", name, got)
			}
		}
	})
}

// A response of anything is an address, or an error.
func FuzzAnswerOf(f *testing.F) {
	response, _, err := testServer.respond(query(f, "a.test.", dnsmessage.TypeA, dnsmessage.ClassINET, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(response)
	f.Fuzz(func(t *testing.T, b []byte) {
		if addr, err := answerOf(b, "a.test"); addr.IsValid() != (err == nil) {
			t.Errorf("%v, %v", addr, err)
		}
	})
}
