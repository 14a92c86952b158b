package packet_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ipq/packet"
)

func TestCheckLengths(t *testing.T) {
	all := samples()
	edit := func(name string, at int, v ...byte) []byte {
		b := bytes.Clone(all[name])
		copy(b[at:], v)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
		says []string // the field, both numbers
	}{
		{"empty", nil, packet.ErrNotIP, []string{"empty"}},
		{"ethernet", make([]byte, 60), packet.ErrNotIP, []string{"0x00", "link-layer"}},
		{"half a header", all["udp4"][:19], packet.ErrTruncated, []string{"IPv4 header", "20", "19"}},
		{"half a header, IPv6", all["udp6"][:39], packet.ErrTruncated, []string{"IPv6 header", "40", "39"}},
		{"IPv4 too long", edit("udp4", 2, 1, 0), packet.ErrTruncated, []string{"IPv4 total length", "256", "50"}},
		{"IPv4 too short", edit("udp4", 2, 0, 49), packet.ErrMalformed, []string{"IPv4 total length", "49", "50"}},
		{"IPv4 shorter than its header", edit("udp4", 2, 0, 19), packet.ErrMalformed, []string{"IPv4 total length", "19", "50"}},
		{"IPv4 zero", edit("udp4", 2, 0, 0), packet.ErrMalformed, []string{"IPv4 total length", "0", "50"}},
		{"IPv6 too long", edit("udp6", 4, 1, 0), packet.ErrTruncated, []string{"IPv6 payload length", "256", "30"}},
		{"IPv6 too short", edit("udp6", 4, 0, 29), packet.ErrMalformed, []string{"IPv6 payload length", "29", "30"}},
		{"IPv6 zero", edit("udp6", 4, 0, 0), packet.ErrMalformed, []string{"IPv6 payload length", "0", "30"}},
		{"header length", edit("udp4 empty", 0, 0x4f), packet.ErrMalformed, []string{"header length", "60", "28"}},
		{"extension header", edit("hop6", 41, 9), packet.ErrMalformed, []string{"extension header", "56"}},
		{"UDP too long", edit("udp4", 24, 0, 31), packet.ErrMalformed, []string{"UDP length", "31", "30"}},
		{"UDP too short", edit("udp4", 24, 0, 7), packet.ErrMalformed, []string{"UDP length", "7", "30"}},
		{"UDP header", ip4(17, make([]byte, 7)), packet.ErrMalformed, []string{"udp header", "8", "7"}},
		{"UDP-Lite coverage", edit("udplite4", 24, 0, 31), packet.ErrMalformed, []string{"coverage", "31", "30"}},
		{"TCP offset", edit("tcp4", 32, 0xf0), packet.ErrMalformed, []string{"TCP data offset", "60", "50"}},
		{"TCP header", ip4(6, make([]byte, 19)), packet.ErrMalformed, []string{"tcp header", "20", "19"}},
		{"ICMP header", ip4(1, make([]byte, 7)), packet.ErrMalformed, []string{"icmp header", "8", "7"}},
		{"SCTP header", ip6(132, make([]byte, 11)), packet.ErrMalformed, []string{"sctp header", "12", "11"}},
		{"UDP length of a first fragment", edit("first4", 24, 9, 9), nil, nil},
		{"surplus behind UDP", all["udp4 surplus"], nil, nil},
		{"sound", all["chain6"], nil, nil},
		{"sound, empty", all["none6"], nil, nil},
	} {
		err := packet.CheckLengths(c.b)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", c.name, err, s)
			}
		}
	}
}
