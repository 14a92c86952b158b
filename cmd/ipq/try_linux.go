package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// try makes the private network, queues what goes to and fro in it, and runs a
// command there, or else the tour.
func try(ctx context.Context, w io.Writer, out format, command []string) error {
	if err := sandbox.Enter(); err != nil {
		return unableError(err)
	}
	// From here on, and not only when the command has started.
	signals := make(chan os.Signal, 16)
	if len(command) != 0 {
		signal.Notify(signals, unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT)
		defer signal.Stop(signals)
	}
	net, err := sandbox.NewNet(1)
	if err != nil {
		return unableError(err)
	}
	defer net.Close()
	// Lines of TCP without time stamps fit a terminal. The kernel may not have it.
	net.Router.Sysctl("net.ipv4.tcp_timestamps", "0")
	t := &trial{net: net, show: newTrialView(w, out)}
	t.show.addresses(net)
	if err := t.start(); err != nil {
		return err
	}
	if len(command) != 0 {
		err = t.command(command, w, signals)
	} else {
		err = t.tour(ctx)
	}
	return errors.Join(t.stop(), err)
}

// trial is one run of try.
type trial struct {
	net    *sandbox.Net
	show   *trialView
	policy policy
	queue  *ipq.Queue
	table  *rules.Table
	cancel context.CancelFunc
	served chan error
}

// tryQueue is the queue that try uses: nobody else is in its network.
const tryQueue = 0

// start begins to queue every packet between the two sides.
func (t *trial) start() error {
	queue, err := ipq.Open(ipq.Config{Queue: tryQueue})
	if err != nil {
		return unableError(fmt.Errorf("%w (ipq doctor says what this machine lacks)", err))
	}
	between := []netip.Prefix{netip.MustParsePrefix("10.7.0.0/16"), netip.MustParsePrefix("fd07::/16")}
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: tryQueue}, Chains: []rules.Chain{
		{Hook: rules.Output, Match: []rules.Match{{Out: []string{t.net.Hosts[0].Link}, Dst: between}}},
		{Hook: rules.Input, Match: []rules.Match{{In: []string{t.net.Hosts[0].Link}, Src: between}}},
	}})
	if err != nil {
		queue.Close()
		return unableError(fmt.Errorf("%w (ipq doctor says what this machine lacks)", err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.queue, t.table, t.cancel, t.served = queue, table, cancel, make(chan error, 1)
	go func() {
		t.served <- queue.Serve(ctx, func(p *ipq.Packet) ipq.Verdict {
			v, changed := t.policy.decide(p)
			t.show.packet(p, v, changed)
			return v
		})
	}()
	return nil
}

// stop ends the queueing with no packet under way, and counts.
func (t *trial) stop() error {
	err := t.table.Remove(context.Background())
	t.cancel()
	if serveErr := <-t.served; serveErr != nil && !errors.Is(serveErr, context.Canceled) {
		err = errors.Join(err, serveErr)
	}
	stats := t.queue.Stats()
	return errors.Join(err, t.queue.Close(), t.show.end(stats))
}

const (
	// passTimeout is for an answer that will come: only a busy machine uses it up.
	passTimeout = 10 * time.Second
	// dropTimeout is for one that will not, because its request is dropped. TCP
	// would send that again after a second.
	dropTimeout = 300 * time.Millisecond
)

// step is one exchange of the tour, and what is to become of it.
type step struct {
	protocol sandbox.Protocol
	ipv6     bool
	fate     fate
}

// tour sends the built-in traffic.
func (t *trial) tour(ctx context.Context) error {
	var steps []step
	for _, ipv6 := range []bool{false, true} {
		steps = append(steps, step{sandbox.ICMP, ipv6, passed}, step{sandbox.HTTP, ipv6, passed}, step{sandbox.DNS, ipv6, passed},
			step{sandbox.ICMP, ipv6, dropped}, step{sandbox.HTTP, ipv6, dropped}, step{sandbox.DNS, ipv6, changed})
	}
	host := t.net.Hosts[0]
	for i, s := range steps {
		if ctx.Err() != nil {
			return nil // the user has seen enough
		}
		if s.ipv6 && !host.IPv6.IsValid() {
			continue
		}
		e := sandbox.Exchange{
			Protocol: s.protocol, From: t.net.Router, To: host, IPv6: s.ipv6,
			Name: fmt.Sprintf("%s-%d.ipq.test", s.fate, i), Timeout: passTimeout,
		}
		if s.fate == dropped {
			e.Timeout = dropTimeout
		}
		t.policy.begin(s)
		t.show.begin(e, s.fate)
		result, err := e.Do()
		if err != nil {
			return err
		}
		t.show.settle() // TCP says goodbye after the answer
		t.show.result(e, s.fate, result)
		if want := s.fate.expect(e, s); result != want {
			return fmt.Errorf("%s to %s, %s: got %+v, want %+v", e.Protocol, host.Name, s.fate, result, want)
		}
	}
	return nil
}
