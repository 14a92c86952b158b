package filter_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/filter"
	"ipq/internal/sandbox"
	"ipq/packet"
	"ipq/rules"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// reader reads a queue, answers everything alike, and remembers the packets.
type reader struct {
	sync.Mutex
	seen map[string]bool
	end  chan struct{} // gets a value, if there is room, for the packet that ends the traffic
}

func read(t *testing.T, queue uint16, v ipq.Verdict, last string) *reader {
	t.Helper()
	q, err := ipq.Open(ipq.Config{Queue: queue, MaxLen: 4096})
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{seen: make(map[string]bool), end: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- q.Serve(ctx, func(p *ipq.Packet) ipq.Verdict {
			r.Lock()
			defer r.Unlock()
			if string(p.Payload) == last {
				select {
				case r.end <- struct{}{}:
				default:
				}
			} else {
				r.seen[string(p.Payload)] = true
			}
			return v
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		q.Close()
	})
	return r
}

func (r *reader) take() map[string]bool {
	r.Lock()
	defer r.Unlock()
	seen := r.seen
	r.seen = make(map[string]bool)
	return seen
}

// The kernel's rules for a filter queue what the model of them says, and so what the filter wants: odd packets arrive from the
// wire, past rules that take all and past those of the filter. Before -400 they are not reassembled.
func TestKernelAgrees(t *testing.T) {
	net := sandbox.Setup(t, 1)
	r := rand.New(rand.NewPCG(11, 11))
	last := model{version: 4, bytes: []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 198, 51, 100, 7, 198, 51, 100, 8}}
	sum(last.bytes)
	var packets []model
	for range 400 {
		p := randomPacket(r)
		if p.version == 4 {
			sum(p.bytes)
		}
		packets = append(packets, p)
	}
	all := read(t, 950, ipq.Accept, string(last.bytes))
	some := read(t, 951, ipq.Drop, string(last.bytes))
	everything := plan(&filter.Filter{})
	everything.Target.Queue, everything.Chains[0] = 950, rules.Chain{Hook: rules.Prerouting, Priority: -460}
	table, err := rules.Install(everything)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Remove(context.Background())
	send := wire(t, net.Hosts[0])

	queued, kept := 0, 0
	for range 40 {
		w := randomFilter(r, 2)
		f, err := filter.Parse(w.text)
		if err != nil {
			continue
		}
		p := rules.Plan{Target: rules.Target{Queue: 951}, Chains: []rules.Chain{{Hook: rules.Prerouting, Priority: -459, Match: append(f.Rules(),
			rules.Match{Src: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}})}}}
		table, err := rules.Install(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range append(packets, last) {
			send(p)
		}
		select {
		case <-some.end: // after all others
		case <-time.After(10 * time.Second):
			t.Fatal("the last packet did not arrive")
		}
		if err := table.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		arrived, taken := all.take(), some.take()
		var h packet.Headers
		for _, p := range packets {
			if !arrived[string(p.bytes)] {
				continue // the kernel drops some before any rule
			}
			kept++
			got := taken[string(p.bytes)]
			if got {
				queued++
			}
			if want := anyTakes(f.Rules(), p); got != want {
				t.Errorf("%q: queued is %v for the packet %x %+v, the model says %v\n%s", w.text, got, p.bytes, p, want, table)
			}
			h.Parse(p.bytes)
			if want := f.Match(&h); want && !got || filter.Exact(f) && got != want {
				t.Errorf("%q: queued is %v for the packet %x, and the filter says %v\n%s", w.text, got, p.bytes, want, table)
			}
		}
		if t.Failed() {
			break
		}
	}
	if kept < 8000 || queued < 2000 || queued > kept-2000 {
		t.Errorf("a bad test: %d packets came, %d were queued", kept, queued)
	}
}

// wire returns a function that puts a packet on the wire of a host, to the router.
func wire(t *testing.T, host *sandbox.Host) func(model) {
	t.Helper()
	link, err := net.InterfaceByName(host.Link)
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	to := &unix.SockaddrLinklayer{}
	err = host.Do(func() error {
		eth, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		to.Ifindex = eth.Index
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func(p model) {
		frame := append([]byte(link.HardwareAddr), 2, 0, 7, 0, 0, 2, 0x08, 0x00)
		if p.version == 6 {
			frame[12], frame[13] = 0x86, 0xdd
		}
		if err := unix.Sendto(fd, append(frame, p.bytes...), 0, to); err != nil {
			t.Fatal(err)
		}
	}
}

// sum stores the checksum of an IPv4 header.
func sum(b []byte) {
	s := uint32(0)
	for i := 0; i < int(b[0]&15)*4; i += 2 {
		if i != 10 {
			s += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(s))
}
