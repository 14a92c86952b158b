package sandbox_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ipq/internal/sandbox"
)

func TestExchange(t *testing.T) {
	n := sandbox.Setup(t, 2)
	requireIPv6 := n.Router.IPv6.IsValid()
	for _, way := range []struct {
		name     string
		from, to *sandbox.Host
	}{
		{"out", n.Router, n.Hosts[0]},
		{"out to the second", n.Router, n.Hosts[1]},
		{"in", n.Hosts[0], n.Router},
		{"forward", n.Hosts[0], n.Hosts[1]},
		{"forward back", n.Hosts[1], n.Hosts[0]},
	} {
		for _, p := range []sandbox.Protocol{sandbox.ICMP, sandbox.HTTP, sandbox.DNS} {
			if way.to == n.Router && p != sandbox.ICMP {
				continue // the router has no services
			}
			for _, ipv6 := range []bool{false, true} {
				name := strings.ReplaceAll(way.name, " ", "-") + "." + p.String()
				if ipv6 {
					name += ".6"
				}
				t.Run(name, func(t *testing.T) {
					if ipv6 {
						sandbox.Require(t, "ipv6", requireIPv6, "this kernel has no IPv6")
					}
					e := sandbox.Exchange{Protocol: p, From: way.from, To: way.to, IPv6: ipv6, Name: name}
					want := sandbox.Result{Arrived: true, Answered: true, Answer: name}
					if p == sandbox.DNS {
						want.Answer = way.to.IPv4.String()
						if ipv6 {
							want.Answer = way.to.IPv6.String()
						}
					}
					if got, err := e.Do(); got != want || err != nil {
						t.Errorf("%+v, %v; want %+v", got, err, want)
					}
				})
			}
		}
	}
}

// What does not arrive, and what is not answered, is told apart, and both in
// bounded time.
func TestExchangeLost(t *testing.T) {
	n := sandbox.Setup(t, 2)
	const timeout = 200 * time.Millisecond
	check := func(e sandbox.Exchange, want sandbox.Result) {
		t.Helper()
		e.Timeout = timeout
		begin := time.Now()
		got, err := e.Do()
		if got != want || err != nil {
			t.Errorf("%s: %+v, %v; want %+v", e.Name, got, err, want)
		}
		if d := time.Since(begin); d < timeout || d > timeout+5*time.Second {
			t.Errorf("%s: took %v with a timeout of %v", e.Name, d, timeout)
		}
	}
	set := func(h *sandbox.Host, name, value string) {
		t.Helper()
		if err := h.Sysctl(name, value); err != nil {
			t.Fatal(err)
		}
	}
	set(n.Hosts[0], "net.ipv4.icmp_echo_ignore_all", "1")
	check(sandbox.Exchange{From: n.Router, To: n.Hosts[0], Name: "unanswered"}, sandbox.Result{Arrived: true})
	set(n.Router, "net.ipv4.ip_forward", "0")
	for _, p := range []sandbox.Protocol{sandbox.ICMP, sandbox.HTTP, sandbox.DNS} {
		check(sandbox.Exchange{Protocol: p, From: n.Hosts[0], To: n.Hosts[1], Name: "lost." + p.String()}, sandbox.Result{})
	}
	if _, err := (sandbox.Exchange{Protocol: sandbox.HTTP, From: n.Hosts[0], To: n.Router, Name: "refused"}).Do(); err == nil {
		t.Error("the router, where nothing listens, has answered a GET")
	}
}

func TestHost(t *testing.T) {
	n := sandbox.Setup(t, 1)
	h := n.Hosts[0]
	namespace := func(dir string) string {
		t.Helper()
		ns, err := os.Readlink(dir + "/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return ns
	}
	outside := namespace("/proc/self")

	t.Run("Do", func(t *testing.T) {
		var inside, again, router string
		if err := h.Do(func() error { inside = namespace("/proc/thread-self"); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := h.Do(func() error { again = namespace("/proc/thread-self"); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := n.Router.Do(func() error { router = namespace("/proc/thread-self"); return nil }); err != nil {
			t.Fatal(err)
		}
		if inside == outside || inside != again || router != outside {
			t.Errorf("host in %s then %s, router in %s, test in %s", inside, again, router, outside)
		}
		failure := errors.New("failure")
		if err := h.Do(func() error { return failure }); err != failure {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("many at once leave no thread inside", func(t *testing.T) {
		done := make(chan error)
		for range 32 {
			go func() { done <- h.Do(func() error { return nil }) }()
		}
		for range 32 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if ns := namespace("/proc/self"); ns != outside {
			t.Errorf("the main thread has moved from %s to %s", outside, ns)
		}
		for range 32 {
			go func() {
				ns, err := os.Readlink("/proc/thread-self/ns/net")
				if err == nil && ns != outside {
					err = errors.New("a goroutine runs in " + ns)
				}
				done <- err
			}()
		}
		for range 32 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("Run", func(t *testing.T) {
		var out strings.Builder
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), childMode+"=where")
		cmd.Stdout = &out
		if err := h.Run(cmd); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(out.String()); !strings.HasPrefix(got, "net:[") || got == outside {
			t.Errorf("the command ran in %q, the test in %q", got, outside)
		}
	})
	t.Run("Sysctl", func(t *testing.T) {
		if err := h.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
			t.Error(err)
		}
		if err := h.Sysctl("net.ipv4.no_such_thing", "1"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "host 0") {
			t.Errorf("%v", err)
		}
	})
}

// A net can be made, closed and made again, and closing leaves no link.
func TestNetClose(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for range 3 {
		n, err := sandbox.NewNet(2)
		if err != nil {
			t.Fatal(err)
		}
		if want := netip.MustParseAddr("10.7.1.2"); n.Hosts[1].IPv4 != want {
			t.Errorf("host 1 is %s, want %s", n.Hosts[1].IPv4, want)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		links, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if strings.HasPrefix(l.Name, "ipq") {
				t.Errorf("link %s is left", l.Name)
			}
		}
	}
	if n, err := sandbox.NewNet(3); err == nil {
		n.Close()
		t.Error("a net of three hosts")
	}
}
