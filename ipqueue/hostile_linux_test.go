package ipqueue_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/ipqueue"
	"ipq/rules"
)

// Whatever a program sends, it gets the answers that the twin of the machine
// gives, in order, through the socket.
func FuzzProgram(f *testing.F) {
	f.Add(uint64(1), []byte("seed"))
	f.Add(uint64(2), bytes.Repeat([]byte{0x11}, 300))
	f.Fuzz(func(t *testing.T, seed uint64, raw []byte) {
		r := rand.New(rand.NewPCG(seed, 2))
		layout := layouts[r.IntN(2)]
		privileged := r.IntN(4) != 0
		h := ipqueue.OpenIdle(ipqueue.Config{Allow: func(c ipqueue.Credentials) bool { return privileged && int(c.PID) == os.Getpid() }})
		defer h.Close()
		p := connect(t, h, ipqueue.IPv4, layout, 700)
		b := newBoth(t, ipqueue.IPv4, layout, 10)
		var want [][]byte
		send := func(datagram []byte) {
			if len(datagram) > 100000 {
				datagram = datagram[:100000]
			}
			p.send(datagram)
			reaction := b.w.request(layout, datagram, privileged)
			const port = 700 // that of the sender, whatever port a message names
			switch {
			case reaction.Ack:
				want = append(want, wire.AppendIPQError(nil, 0, port, datagram))
			case reaction.Nack:
				want = append(want, wire.AppendIPQError(nil, int32(reaction.Errno), port, reaction.Echo))
			}
		}
		send(raw)
		for range 20 {
			send(randomMessage(r, b, raw))
			if r.IntN(4) == 0 {
				for _, w := range want {
					if got := p.receive(); !bytes.Equal(got, w) {
						t.Fatalf("received\n% x, want\n% x", got[:min(len(got), 100)], w[:min(len(w), 100)])
					}
				}
				want = want[:0]
				p.fence()
			}
		}
		if s := h.Status().IPv4; s.Programs != 1 {
			t.Fatalf("%d programs", s.Programs)
		}
	})
}

// Datagrams that no netlink socket would have taken are ignored, and do no harm.
func TestOversizedDatagram(t *testing.T) {
	h := ipqueue.OpenIdle(ipqueue.Config{Allow: func(ipqueue.Credentials) bool { return true }})
	defer h.Close()
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	err := unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20)
	sandbox.Require(t, "root", err == nil, "a socket's buffer cannot be enlarged; run as root")
	p.send(p.message(wire.IPQTypeVerdict, wire.IPQFlagRequest, make([]byte, 300<<10)))
	p.fence()
	if s := h.Status().IPv4; s.PeerPID != 0 {
		t.Errorf("it became the peer: %+v", s)
	}
	// One that fits is answered in full, as far as the answer does.
	request := p.message(wire.IPQTypeVerdict, wire.IPQFlagRequest, make([]byte, 131000))
	p.send(request)
	if e := p.wantReply(unix.ENOENT); !bytes.Equal(e.Request, request) {
		t.Errorf("%d bytes of %d were repeated", len(e.Request), len(request))
	}
}

// Descriptors that a client sends along are not kept: neither with a message nor
// with a hello, nor one of its own socket, which would keep that open for ever.
func TestPassedDescriptors(t *testing.T) {
	h := open(t, ipqueue.Config{})
	path := serve(t, h, 0o600)
	p := dial(t, path, ipqueue.IPv4, wire.IPQ64, 700)
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, pass := range []func(rights []byte) error{
		func(rights []byte) error {
			return unix.Sendmsg(p.fd, p.message(wire.IPQTypeMode, wire.IPQFlagRequest, make([]byte, 24)), rights, nil, 0)
		},
		func(rights []byte) error { return unix.Sendmsg(p.fd, nil, rights, nil, 0) },
		func(rights []byte) error {
			_, _, err := c.WriteMsgUnix([]byte("ipqs\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), rights, nil)
			return err
		},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := pass(unix.UnixRights(int(w.Fd()), p.fd)); err != nil {
			t.Fatal(err)
		}
		w.Close()
		r.SetReadDeadline(time.Now().Add(patience))
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the other end of a pipe: %v, want an end of file", err)
		}
		r.Close()
	}
	p.fence()
	p.close()
	await(t, h, ipqueue.IPv4, "the program has left", func(s ipqueue.FamilyStatus) bool { return s.Programs == 0 })
}

// Programs that flood, send garbage, never read, or die at any moment harm nobody
// else: the peer goes on passing packets, in order, and none is lost.
func TestHostilePrograms(t *testing.T) {
	h := open(t, ipqueue.Config{Allow: func(c ipqueue.Credentials) bool { return c.UID == 0 }})
	feed(t, 0, rules.IPv4)
	n := newTestNet(t, ipqueue.IPv4)
	p := connect(t, h, ipqueue.IPv4, wire.IPQ64, 700)
	p.setMode(wire.IPQCopyPacket, 0)

	stop := make(chan struct{})
	var hostile sync.WaitGroup
	for i := range 4 {
		hostile.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			for {
				select {
				case <-stop:
					return
				default:
				}
				f, err := h.Connect(ipqueue.Hello{Family: []uint8{ipqueue.IPv4, ipqueue.IPv6}[i%2], WordSize: 32 << (i / 2), PID: 1 + r.IntN(800)})
				if err != nil {
					t.Error(err)
					return
				}
				fd := int(f.Fd())
				unix.SetNonblock(fd, true)
				for range r.IntN(3000) {
					b := make([]byte, r.IntN(200))
					for j := range b {
						b[j] = byte(r.Uint32())
					}
					if len(b) >= 16 && r.IntN(2) == 0 {
						wire.IPQHeader{Len: uint32(len(b)), Type: uint16(0x10 + r.IntN(5)), Flags: 1, PID: uint32(701 + r.IntN(100))}.Put(b)
					}
					if unix.Sendto(fd, b, unix.MSG_NOSIGNAL, nil) == unix.EAGAIN {
						time.Sleep(time.Millisecond)
					}
				}
				f.Close() // with everything unread
			}
		})
	}
	for round := range 300 {
		size := 1 + round%1000
		n.send(t, "7001", size)
		m, payload := p.wantPacket()
		if len(payload) != 28+size {
			t.Fatalf("round %d: %d bytes of payload", round, len(payload))
		}
		p.verdict(m.ID, wire.IPQVerdictAccept, nil)
		if got := n.arrived(t, patience); got != size {
			t.Fatalf("round %d: %d bytes arrived, want %d", round, got, size)
		}
	}
	close(stop)
	hostile.Wait()
	p.fence()
	await(t, h, ipqueue.IPv4, "only the peer is left", func(s ipqueue.FamilyStatus) bool { return s.Programs == 1 && s.PeerPID == 700 })
	if s := status(h, ipqueue.IPv4); s.QueueDropped+s.NetlinkDropped != 0 {
		t.Errorf("packets were dropped: %+v", s)
	}
}
