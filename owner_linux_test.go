package ipq_test

import (
	"net"
	"testing"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// At Input a datagram has an owner where the kernel looked its socket up early: one that is connected, or the only one that
// listens to a multicast; never on lo.
func TestOwnerAtInput(t *testing.T) {
	netOf := sandbox.Setup(t, 1)
	router, host := netOf.Router.IPv4.AsSlice(), netOf.Hosts[0]
	link, err := net.InterfaceByName(host.Link)
	if err != nil {
		t.Fatal(err)
	}
	q := open(t, ipq.Config{Queue: 900, Require: ipq.FlagUIDGID})
	known := make(chan bool, 8)
	serve(t, q, func(p *ipq.Packet) ipq.Verdict {
		known <- p.Has(ipq.HasUID | ipq.HasGID)
		return ipq.Accept
	})
	feed(t, 900, chain(rules.Input, rules.Match{Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(7001)}}))
	from, group := &net.UDPAddr{IP: host.IPv4.AsSlice(), Port: 7002}, &net.UDPAddr{IP: net.IPv4(239, 7, 7, 7), Port: 7001}
	here := &net.UDPAddr{IP: router, Port: 7001}
	lo, loFrom := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7001}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7002}
	for name, test := range map[string]struct {
		receiver func() (*net.UDPConn, error)
		from, to *net.UDPAddr
		want     bool
	}{
		"connected":     {func() (*net.UDPConn, error) { return net.DialUDP("udp4", here, from) }, from, here, true},
		"not connected": {func() (*net.UDPConn, error) { return net.ListenUDP("udp4", here) }, from, here, false},
		"multicast":     {func() (*net.UDPConn, error) { return net.ListenMulticastUDP("udp4", link, group) }, from, group, true},
		"lo":            {func() (*net.UDPConn, error) { return net.DialUDP("udp4", lo, loFrom) }, loFrom, lo, false},
	} {
		t.Run(name, func(t *testing.T) {
			receiver, err := test.receiver()
			if err != nil {
				t.Fatal(err)
			}
			defer receiver.Close()
			send := func() error {
				c, err := net.DialUDP("udp4", test.from, test.to)
				if err != nil {
					return err
				}
				defer c.Close()
				_, err = c.Write([]byte("x"))
				return err
			}
			if test.from == from {
				send = in(host, send)
			}
			if err := send(); err != nil {
				t.Fatal(err)
			}
			if got := soon(t, known, "the packet"); got != test.want {
				t.Errorf("owner known: %v, want %v", got, test.want)
			}
		})
	}
}
