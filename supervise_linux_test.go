package ipq_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/internal/wire"
	"ipq/rules"
)

// queueSocket is a descriptor of the one netfilter socket that this process has open besides those in others.
func queueSocket(t *testing.T, others map[int]bool) (fd int) {
	t.Helper()
	for fd := range 1024 {
		proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		domain, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err == nil && domain == unix.AF_NETLINK && proto == unix.NETLINK_NETFILTER && !others[fd] {
			return fd
		}
	}
	t.Fatal("no netfilter socket")
	return -1
}

// Supervise waits for a queue that is busy, and takes it again when the kernel has unbound it.
func TestSupervise(t *testing.T) {
	net := sandbox.Setup(t, 1)
	feed(t, 900, chain(rules.Output, pings))
	ping := sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Router, To: net.Hosts[0]}
	others := map[int]bool{}
	for fd := range 1024 {
		if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err == nil {
			others[fd] = true
		}
	}
	owner, err := ipq.Open(ipq.Config{Queue: 900})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told, done := make(chan error, 100), make(chan error, 1)
	go func() {
		done <- ipq.Supervise(ctx, ipq.Config{Queue: 900}, func(*ipq.Packet) ipq.Verdict { return ipq.Accept }, func(err error) { told <- err })
	}()
	if err := soon(t, told, "Supervise to say that the queue is busy"); !errors.Is(err, ipq.ErrQueueBusy) {
		t.Errorf("told %v", err)
	}
	if err := owner.Close(); err != nil {
		t.Error(err)
	}
	answered := func(what string) {
		t.Helper()
		for range 100 {
			if do(t, ping) {
				return
			}
		}
		t.Errorf("no packet passes %s", what)
	}
	answered("when the queue has become free")
	for len(told) > 0 {
		<-told
	}
	unbind := wire.AppendConfig(nil, wire.Config{Queue: 900, Cmd: wire.CmdUnbind}, 1<<31)
	if err := unix.Send(queueSocket(t, others), unbind, 0); err != nil {
		t.Fatal(err)
	}
	if err := soon(t, told, "Supervise to notice"); !errors.Is(err, ipq.ErrNotOwner) {
		t.Errorf("told %v", err)
	}
	answered("after the queue was unbound")
	cancel()
	if err := soon(t, done, "Supervise to end"); !errors.Is(err, context.Canceled) {
		t.Errorf("Supervise: %v", err)
	}
}

// A queue that ends as soon as it is open is opened again more and more seldom.
func TestSupervisePauses(t *testing.T) {
	net := sandbox.Setup(t, 1)
	feed(t, 900, chain(rules.Output, pings))
	ping := sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Router, To: net.Hosts[0], Timeout: 5 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended, done := make(chan time.Time, 1000), make(chan error, 1)
	go func() {
		done <- ipq.Supervise(ctx, ipq.Config{Queue: 900}, func(p *ipq.Packet) ipq.Verdict {
			p.Queue().Close()
			return ipq.Accept
		}, func(error) { ended <- time.Now() })
	}()
	var ends []time.Time
	for end := time.Now().Add(patience); len(ends) < 4; do(t, ping) {
		if time.Now().After(end) {
			t.Fatalf("the queue ended %d times", len(ends))
		}
		for len(ended) > 0 {
			ends = append(ends, <-ended)
		}
	}
	for i, least := range []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond} {
		if took := ends[i+1].Sub(ends[i]); took < least {
			t.Errorf("life %d ended %v after the last, want a pause of %v before it", i+2, took, least)
		}
	}
	cancel()
	soon(t, done, "Supervise to end")
}

// What trying again cannot mend ends Supervise.
func TestSuperviseGivesUp(t *testing.T) {
	for _, c := range []ipq.Config{{Range: -1}, {Netns: "/nowhere"}, {File: os.Stdin}} {
		if c.File != nil {
			var err error
			if c.File, err = os.Open(os.DevNull); err != nil {
				t.Fatal(err)
			}
		}
		err := ipq.Supervise(t.Context(), c, func(*ipq.Packet) ipq.Verdict { return ipq.Accept }, func(err error) { t.Errorf("told %v", err) })
		var op *ipq.OpError
		if !errors.As(err, &op) {
			t.Errorf("%v", fmt.Errorf("Supervise: %w", err))
		}
	}
}

// Supervise goes along when another namespace appears under the path, and waits when there is none.
func TestSuperviseFollowsNamespace(t *testing.T) {
	net := sandbox.Setup(t, 2)
	var files [2]*os.File
	for i, host := range net.Hosts {
		if err := host.Do(func() (err error) {
			files[i], err = os.Open("/proc/thread-self/ns/net")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer files[i].Close()
		table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 900}, Netns: ipq.NetnsOfFile(files[i]),
			Chains: []rules.Chain{chain(rules.Input, pings)}})
		if err != nil {
			t.Fatal(err)
		}
		defer table.Remove(context.Background())
	}
	path := filepath.Join(t.TempDir(), "netns")
	name := func(i int) {
		t.Helper()
		if err := os.Symlink(ipq.NetnsOfFile(files[i]), path); err != nil {
			t.Fatal(err)
		}
	}
	name(0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told, done := make(chan error, 100), make(chan error, 1)
	go func() {
		done <- ipq.Supervise(ctx, ipq.Config{Queue: 900, Netns: path}, func(*ipq.Packet) ipq.Verdict { return ipq.Accept }, func(err error) { told <- err })
	}()
	answered := func(i int, what string) {
		t.Helper()
		for range 100 {
			if do(t, sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Router, To: net.Hosts[i]}) {
				return
			}
		}
		t.Errorf("no packet passes %s", what)
	}
	answered(0, "in the first namespace")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := soon(t, told, "Supervise to notice that the path is missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("told %v", err)
	}
	answered(0, "while the path is missing")
	// What becomes the file of a namespace may be an empty one first.
	if err := os.WriteFile(path, nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	name(1)
	for {
		err := soon(t, told, "Supervise to notice that the namespace is another")
		if errors.Is(err, ipq.ErrNetnsReplaced) {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("told %v, which does not name the path", err)
			}
			break
		}
		if !errors.Is(err, os.ErrNotExist) { // once more if it looked while the file was away again
			t.Errorf("told %v", err)
		}
	}
	answered(1, "in the second namespace")
	cancel()
	if err := soon(t, done, "Supervise to end"); !errors.Is(err, context.Canceled) {
		t.Errorf("Supervise: %v", err)
	}
}

// The namespace may be away just when the queue has to be opened again.
func TestSuperviseWaitsForNamespace(t *testing.T) {
	net := sandbox.Setup(t, 1)
	path := filepath.Join(t.TempDir(), "netns")
	var file *os.File
	if err := net.Hosts[0].Do(func() (err error) {
		file, err = os.Open("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := os.Symlink(ipq.NetnsOfFile(file), path); err != nil {
		t.Fatal(err)
	}
	table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 900}, Netns: path, Chains: []rules.Chain{chain(rules.Input, pings)}})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Remove(context.Background())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told, done, handled := make(chan error, 1000), make(chan error, 1), 0
	go func() {
		done <- ipq.Supervise(ctx, ipq.Config{Queue: 900, Netns: path}, func(p *ipq.Packet) ipq.Verdict {
			if handled++; handled == 1 {
				os.Remove(path)
				p.Queue().Close()
			}
			return ipq.Accept
		}, func(err error) {
			if errors.Is(err, os.ErrNotExist) {
				os.Symlink(ipq.NetnsOfFile(file), path)
			}
			told <- err
		})
	}()
	ping := sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Router, To: net.Hosts[0]}
	for end := time.Now().Add(patience); !do(t, ping); {
		if time.Now().After(end) {
			t.Fatal("no packet passes")
		}
	}
	cancel()
	soon(t, done, "Supervise to end")
	missing := false
	for len(told) > 0 {
		missing = errors.Is(<-told, os.ErrNotExist) || missing
	}
	if !missing {
		t.Error("the path was never missing: nothing was tried")
	}
}
