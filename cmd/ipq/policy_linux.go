package main

import (
	"bytes"
	"net/netip"
	"sync/atomic"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/packet"
)

// fate is what becomes of an exchange of the tour. Its name is part of the name
// that the exchange carries, which is how the policy knows the packets.
type fate string

const (
	passed  fate = "passed"
	dropped fate = "dropped" // the request does not arrive
	changed fate = "changed" // the answer says something else when it comes back
)

// The addresses that a changed DNS response has, of networks that are kept for
// documentation (RFC 5737, RFC 3849).
var (
	changedA    = netip.MustParseAddr("192.0.2.99")
	changedAAAA = netip.MustParseAddr("2001:db8::99")
)

// expect is how an exchange ends.
func (f fate) expect(e sandbox.Exchange, s step) sandbox.Result {
	if f == dropped {
		return sandbox.Result{}
	}
	r := sandbox.Result{Arrived: true, Answered: true, Answer: e.Name}
	switch {
	case f == changed && s.ipv6:
		r.Answer = changedAAAA.String()
	case f == changed:
		r.Answer = changedA.String()
	case e.Protocol == sandbox.DNS && s.ipv6:
		r.Answer = e.To.IPv6.String()
	case e.Protocol == sandbox.DNS:
		r.Answer = e.To.IPv4.String()
	}
	return r
}

// policy decides the packets of the tour. Its zero value lets everything pass.
type policy struct {
	// refuse drops attempts to connect: those carry no name.
	refuse  atomic.Bool
	headers packet.Headers // of the packet that is being decided
}

// begin prepares for the packets of a step.
func (p *policy) begin(s step) { p.refuse.Store(s.protocol == sandbox.HTTP && s.fate == dropped) }

// decide returns the verdict for a packet, which it may have changed.
func (p *policy) decide(q *ipq.Packet) (v ipq.Verdict, modified bool) {
	h := &p.headers
	h.Parse(q.Payload)
	if h.Protocol == packet.TCP {
		if p.refuse.Load() && h.Flags&(packet.SYN|packet.ACK) == packet.SYN {
			return ipq.Drop, false
		}
		return ipq.Accept, false
	}
	data := h.Payload()
	if bytes.Contains(data, []byte(dropped)) {
		return ipq.Drop, false
	}
	if h.Protocol == packet.UDP && h.SrcPort == 53 && bytes.Contains(data, []byte(changed)) {
		addr := changedA.AsSlice()
		if h.Version == 6 {
			addr = changedAAAA.AsSlice()
		}
		if len(data) > len(addr) {
			copy(data[len(data)-len(addr):], addr) // the response ends with the address
			if err := q.SetPayload(q.Payload); err == nil {
				return ipq.Accept, true
			}
		}
	}
	return ipq.Accept, false
}
