package filter_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ipq/internal/filter"
	"ipq/packet"
)

// Whatever the text is: an error that can be shown, or a filter that can be written down and read again, whose rules can be
// installed.
func FuzzParse(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		f.Add(randomFilter(r, 2).text)
	}
	f.Add("tcp & \x1b[31m")
	f.Add("net 10/8 or 10.1 and ::ffff:1.2.3.4")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 {
			return
		}
		p, err := filter.Parse(s)
		if err != nil {
			var e *filter.Error
			if !errors.As(err, &e) {
				t.Fatalf("%q: %v is no *Error", s, err)
			}
			checkError(t, s, e)
			return
		}
		again, err := filter.Parse(p.String())
		if err != nil || filter.Tree(again) != filter.Tree(p) || again.String() != p.String() {
			t.Fatalf("%q is written as %q, which is read as %v, %v", s, p, again, err)
		}
		if text := plan(p).String(); strings.HasPrefix(text, "#") {
			t.Fatalf("%q: %s", s, text)
		}
		if p.Explain() == "" {
			t.Fatalf("%q: nothing is explained", s)
		}
	})
}

// Whatever the packet is, if the kernel can have queued it: the rules take it when the filter wants it, and when they
// decide the whole filter only then.
func FuzzRules(f *testing.F) {
	r := rand.New(rand.NewPCG(2, 2))
	for seed := range uint64(30) {
		f.Add(seed, randomPacket(r).bytes)
	}
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		p, ok := kernelView(b)
		if !ok {
			return
		}
		w := randomFilter(rand.New(rand.NewPCG(seed, 0)), 2)
		x, err := filter.Parse(w.text)
		if err != nil {
			return
		}
		var h packet.Headers
		h.Parse(p.bytes)
		want := x.Match(&h)
		if twin := w.want(p); want != twin {
			t.Errorf("%q: %v for the packet %x %+v, its twin says %v", w.text, want, p.bytes, p, twin)
		}
		if queued := anyTakes(x.Rules(), p); want && !queued || queued && !want && filter.Exact(x) {
			t.Errorf("%q: %v, queued: %v, for the packet %x %+v\n%s", w.text, want, queued, p.bytes, p, plan(x))
		}
	})
}

// kernelView reads a packet as nf_tables does; ok is false when the IP layer would have dropped it before any hook.
func kernelView(b []byte) (p model, ok bool) {
	if len(b) < 20 {
		return p, false
	}
	transport := 0
	switch b[0] >> 4 {
	case 4:
		header, length := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if header < 20 || length < header || length > len(b) {
			return p, false
		}
		b = b[:length]
		p = model{version: 4, protocol: b[9], known: true, src: netip.AddrFrom4([4]byte(b[12:])), dst: netip.AddrFrom4([4]byte(b[16:]))}
		transport = header
		if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			transport = len(b)
		}
	case 6:
		if len(b) < 40 || 40+int(binary.BigEndian.Uint16(b[4:])) > len(b) {
			return p, false
		}
		b = b[:40+int(binary.BigEndian.Uint16(b[4:]))]
		p = model{version: 6, src: netip.AddrFrom16([16]byte(b[8:])), dst: netip.AddrFrom16([16]byte(b[24:]))}
		p.protocol, p.known = walk(b)
		transport = walkTo(b)
	default:
		return p, false
	}
	p.bytes = b
	if transport < len(b) && slices.Contains([]uint8{6, 17, 33, 132, 136}, p.protocol) && p.known {
		t := append(slices.Clone(b[transport:]), 0, 0, 0, 0)
		p.transport = len(b) - transport
		p.srcPort, p.dstPort = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
	}
	return p, true
}

// walkTo is where walk stops: at the transport header, or at the end for a later fragment.
func walkTo(b []byte) int {
	at, p := 40, b[6]
	for slices.Contains([]byte{0, 43, 44, 60}, p) {
		if len(b) < at+4 {
			return len(b)
		}
		size := 8 + 8*int(b[at+1])
		switch {
		case p == 44 && binary.BigEndian.Uint16(b[at+2:]) >= 8:
			return len(b)
		case p == 44:
			size = 8
		}
		p, at = b[at], at+size
	}
	return min(at, len(b))
}
