package ipq_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
)

// When Close returns, the queue can be opened again: also where another goroutine has called it first.
func TestCloseFreesTheQueue(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for round := range 300 {
		q, err := ipq.Open(ipq.Config{Queue: 900})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var first sync.WaitGroup
		first.Go(func() { q.Close() })
		var id ipq.ID
		for !errors.Is(q.SetVerdict(id, ipq.Accept), os.ErrClosed) { // the other call has begun
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		next, err := ipq.Open(ipq.Config{Queue: 900})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		first.Wait()
		next.Close()
	}
}

// A socket that came bound goes with its last descriptor, which a reader may be using.
func TestCloseFreesAnAdoptedSocket(t *testing.T) {
	sandbox.RequireNamespaces(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // so that the reader cannot leave by itself before the next Open
	for round := range 30 {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ipq.Open(ipq.Config{Queue: 900, File: os.NewFile(uintptr(fd), "netlink")})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		done := make(chan error, 1)
		go func() {
			done <- q.Serve(context.Background(), func(*ipq.Packet) ipq.Verdict { return ipq.Accept })
		}()
		runtime.Gosched() // so that it reads, as a rule
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		next, err := ipq.Open(ipq.Config{Queue: 900})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		next.Close()
		if err := <-done; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	}
}

// Close may be called from everything that the queue calls, also while another goroutine closes it.
func TestCloseFromWithin(t *testing.T) {
	for name, test := range map[string]struct {
		config  func(closing func()) ipq.Config
		verdict ipq.Verdict
	}{
		"handler":   {func(func()) ipq.Config { return ipq.Config{} }, ipq.Accept},
		"OnDefault": {func(closing func()) ipq.Config { return ipq.Config{OnDefault: func(ipq.ID, error) { closing() }} }, 0},
		"late handler": {func(closing func()) ipq.Config {
			return ipq.Config{HandlerTimeout: 1, OnDefault: func(ipq.ID, error) { closing() }}
		}, ipq.Accept},
		"held for too long": {func(closing func()) ipq.Config {
			return ipq.Config{HoldTimeout: 1, OnDefault: func(ipq.ID, error) { closing() }}
		}, ipq.Hold},
	} {
		t.Run(name, func(t *testing.T) {
			var q *ipq.Queue // before its first packet
			closing := sync.OnceFunc(func() {
				go q.Close()
				q.Close()
			})
			p, opened := newPeer(t, test.config(closing))
			q = opened
			p.packet(1, "x")
			done := make(chan error, 1)
			go func() {
				done <- q.Serve(context.Background(), func(*ipq.Packet) ipq.Verdict {
					if test.verdict == ipq.Accept {
						closing()
					}
					return test.verdict
				})
			}()
			if err := soon(t, done, "Serve to end"); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}
