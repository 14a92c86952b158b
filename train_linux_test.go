package ipq_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// A train of UDP datagrams that begins a tracked connection arrives whole, however it is answered, where it is queued whole
// (FlagGSO) or before conntrack. Elsewhere the kernel drops the segments that come back before the first one has confirmed the
// connection: see Hold.
func TestTrainArrives(t *testing.T) {
	const segments, size = 10, 100
	hosts := sandbox.Setup(t, 1).Hosts
	// A rule that uses conntrack makes the kernel track connections.
	tracking, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 950, Bypass: true}, Chains: []rules.Chain{
		{Hook: rules.Forward, Match: []rules.Match{{States: rules.Invalid}}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tracking.Close() })
	for i, test := range []struct {
		name     string
		flags    ipq.Flags
		priority int32
		queued   int // packets
	}{
		{"whole", ipq.FlagGSO, 0, 1},
		{"before conntrack", 0, -300, segments},
	} {
		t.Run(test.name, func(t *testing.T) {
			port := 7000 + i
			var receiver *net.UDPConn
			if err := hosts[0].Do(func() (err error) {
				receiver, err = net.ListenUDP("udp4", &net.UDPAddr{IP: hosts[0].IPv4.AsSlice(), Port: port})
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer receiver.Close()
			q := open(t, ipq.Config{Queue: 900, Require: test.flags})
			ids := make(chan ipq.ID, 100)
			serve(t, q, func(p *ipq.Packet) ipq.Verdict {
				ids <- p.ID
				return ipq.Hold
			})
			feed(t, 900, rules.Chain{Hook: rules.Output, Priority: test.priority, Match: []rules.Match{{
				Protocols: []rules.Protocol{rules.UDP}, DstPorts: []rules.PortRange{rules.Port(uint16(port))}}}})
			sender, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: hosts[0].IPv4.AsSlice(), Port: port})
			if err != nil {
				t.Fatal(err)
			}
			defer sender.Close()
			raw, err := sender.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) })
			sandbox.Require(t, "udp_segment", err == nil, fmt.Sprint("UDP_SEGMENT, of Linux 4.18: ", err))
			if _, err := sender.Write(make([]byte, segments*size)); err != nil {
				t.Fatal(err)
			}
			var held []ipq.ID
			for range test.queued {
				held = append(held, soon(t, ids, "a packet of the train"))
			}
			for i := len(held) - 1; i >= 0; i-- { // the last one first
				if err := q.SetVerdict(held[i], ipq.Accept); err != nil {
					t.Fatal(err)
				}
			}
			receiver.SetReadDeadline(time.Now().Add(patience))
			for n := range segments {
				if _, err := receiver.Read(make([]byte, 2*size)); err != nil {
					t.Fatalf("%d of %d segments arrive: %v; %+v", n, segments, err, q.Stats())
				}
			}
		})
	}
}
