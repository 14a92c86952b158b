package ipq_test

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// A socket that wants receive times, in any network namespace, makes the kernel stamp what comes in; never what this
// machine sends.
func TestTimeOfPackets(t *testing.T) {
	net := sandbox.Setup(t, 2)
	q := open(t, ipq.Config{Queue: 900})
	var input, output atomic.Int64 // packets with a time
	serve(t, q, func(p *ipq.Packet) ipq.Verdict {
		at, ok := p.Time()
		if !ok {
			return ipq.Accept
		}
		if p.Hook != ipq.Input {
			output.Add(1)
		} else if since := time.Since(at); since > -time.Minute && since < time.Minute {
			input.Add(1)
		} else {
			t.Errorf("received at %v", at)
		}
		return ipq.Accept
	})
	feed(t, 900, chain(rules.Input, pings), chain(rules.Output, pings), chain(rules.Postrouting, pings))
	err := net.Hosts[1].Do(func() error { // not where the packets are
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); input.Load() == 0 && time.Now().Before(end); { // stamps begin a moment later
		do(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Hosts[0], To: net.Router})
	}
	if input.Load() == 0 || output.Load() != 0 {
		t.Errorf("packets with a time: %d at Input, %d at Output and Postrouting", input.Load(), output.Load())
	}
}
