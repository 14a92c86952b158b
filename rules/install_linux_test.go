package rules_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// tables lists the tables of the namespace.
func tables(t *testing.T) []string {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	list, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, table := range list {
		names = append(names, table.Name)
	}
	return slices.Compact(names)
}

// With nobody at the queue packets pass where the target says so, and are dropped where it does not.
func TestBypass(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for way, install := range ways(t) {
		for _, bypass := range []bool{true, false} {
			for _, balance := range []rules.Balance{rules.BalanceFlow, rules.BalanceAddresses, rules.BalanceCPU} {
				t.Run(fmt.Sprint(way, " ", bypass, " ", balance), func(t *testing.T) {
					s := listen(t, "127.0.0.1:0")
					table, err := install(rules.Plan{
						Target: rules.Target{Queue: 930, Last: 933, Balance: balance, Bypass: bypass},
						Chains: []rules.Chain{{Hook: rules.Output}},
					})
					if err != nil {
						t.Fatal(err)
					}
					defer table.Close()
					if bypass {
						if !s.echo(t, "nobody") {
							t.Error("a datagram did not pass although nobody reads its queue")
						}
					} else {
						s.WriteTo([]byte("nobody"), s.LocalAddr()) // may say that it was refused
						if got, err := s.next(50 * time.Millisecond); err == nil {
							t.Errorf("%q passed although nobody reads its queue", got)
						}
					}
					if err := table.Remove(t.Context()); err != nil {
						t.Error(err)
					}
					if !s.echo(t, "after") {
						t.Error("a datagram did not pass although the rules are removed")
					}
				})
			}
		}
	}
}

// Flows are spread over all queues, and both directions of each go to the same one.
func TestBalance(t *testing.T) {
	sandbox.RequireNamespaces(t)
	const first, last = 940, 943
	var taps []*tap
	for q := first; q <= last; q++ {
		taps = append(taps, open(t, uint16(q)))
	}
	for way, install := range ways(t) {
		for _, balance := range []rules.Balance{rules.BalanceFlow, rules.BalanceAddresses, rules.BalanceCPU} {
			for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
				t.Run(fmt.Sprint(way, " ", balance, " ", address), func(t *testing.T) {
					installed(t, install, rules.Plan{
						Target: rules.Target{Queue: first, Last: last, Balance: balance},
						Chains: []rules.Chain{{Hook: rules.Output}},
					})
					const flows = 64
					used := make(map[int]int)
					for i := range flows {
						a, b := listen(t, address), listen(t, address)
						for _, pair := range [][2]socket{{a, b}, {b, a}} {
							if _, err := pair[0].WriteTo([]byte("balance"), pair[1].LocalAddr()); err != nil {
								t.Fatal(err)
							}
							if !pair[1].gets(t, "balance") {
								t.Fatal("a datagram did not arrive")
							}
						}
						for q, tap := range taps {
							packets, _ := tap.take()
							used[q] += len(packets)
							if balance != rules.BalanceCPU && len(packets) == 1 {
								t.Errorf("flow %d went to two queues", i)
							}
						}
					}
					sum := 0
					for _, n := range used {
						sum += n
					}
					if sum != 2*flows {
						t.Errorf("%d packets were queued, want %d: %v", sum, 2*flows, used)
					}
					switch balance {
					case rules.BalanceFlow:
						for q := range taps {
							if used[q] == 0 { // chance: 4 in 100 million
								t.Errorf("queue %d got none of %d flows: %v", first+q, flows, used)
							}
						}
					case rules.BalanceAddresses:
						if most := slices.Max([]int{used[0], used[1], used[2], used[3]}); most != sum {
							t.Errorf("everything between two addresses should go to one queue: %v", used)
						}
					case rules.BalanceCPU:
						for q := range taps {
							if q >= runtime.NumCPU() && used[q] != 0 {
								t.Errorf("queue %d is that of a CPU which is not there: %v", first+q, used)
							}
						}
					}
				})
			}
		}
	}
}

// The rules of a process that is killed are gone when it is. Those of another stay.
func TestKilled(t *testing.T) {
	sandbox.RequireNamespaces(t)
	other, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 911, Bypass: true}, Chains: []rules.Chain{{Hook: rules.Output}}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), installerEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	name := strings.TrimSpace(line)
	if err != nil || !strings.HasPrefix(name, "ipq-") {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	if got := tables(t); !slices.Contains(got, name) || !slices.Contains(got, other.Name()) {
		t.Fatalf("%v are installed, want %s and %s", got, name, other.Name())
	}
	cmd.Process.Kill()
	cmd.Wait()
	if got := tables(t); slices.Contains(got, name) || !slices.Contains(got, other.Name()) {
		t.Errorf("%v are installed, want only %s", got, other.Name())
	}
}

// The rules of a table that the program has not kept stay until the process ends.
func TestTableThatIsNotKept(t *testing.T) {
	sandbox.RequireNamespaces(t)
	before := len(tables(t))
	t.Cleanup(rules.CloseInstalled)
	if _, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 913, Bypass: true}, Chains: []rules.Chain{{Hook: rules.Output}}}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // collections, each with what it closes
		collected := make(chan struct{})
		runtime.SetFinalizer(new([64]byte), func(*[64]byte) { close(collected) })
		runtime.GC()
		<-collected
	}
	if got := tables(t); len(got) != before+1 {
		t.Errorf("%v are installed, want one more than %d", got, before)
	}
}

// Plans of one process do not get into each other's way, and each goes on its own.
func TestSideBySide(t *testing.T) {
	sandbox.RequireNamespaces(t)
	var list []*rules.Table
	var names []string
	for range 3 {
		table, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 912, Bypass: true}, Chains: []rules.Chain{{Hook: rules.Output}}})
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		list, names = append(list, table), append(names, table.Name())
	}
	if got := tables(t); len(got) < 3 || !subset(names, got) {
		t.Errorf("%v are installed, want %v", got, names)
	}
	if err := list[1].Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if got := tables(t); !subset([]string{names[0], names[2]}, got) || slices.Contains(got, names[1]) {
		t.Errorf("%v are installed, want %v without the second", got, names)
	}
	// Both may be called again, in any order.
	if err := errors.Join(list[1].Close(), list[1].Remove(t.Context()), list[0].Close(), list[0].Close()); err != nil {
		t.Error(err)
	}
}

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func TestAnotherNamespace(t *testing.T) {
	net := sandbox.Setup(t, 1)
	host := net.Hosts[0]
	var ns *os.File
	if err := host.Do(func() (err error) { ns, err = os.Open("/proc/thread-self/ns/net"); return err }); err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	path := ipq.NetnsOfFile(ns)
	if e, err := rules.Probe(path); err != nil || e == 0 {
		t.Fatal(e, err)
	}
	table, err := rules.Install(rules.Plan{
		Chains: []rules.Chain{{Hook: rules.Input, Match: []rules.Match{{Protocols: protocols(rules.UDP)}}}}, Netns: path,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if here := tables(t); slices.Contains(here, table.Name()) {
		t.Errorf("the table is here: %v", here)
	}
	// Nobody reads the queue there, so the query is dropped on arrival; the ping is not.
	for protocol, timeout := range map[sandbox.Protocol]time.Duration{sandbox.DNS: 200 * time.Millisecond, sandbox.ICMP: time.Minute} {
		e := sandbox.Exchange{Protocol: protocol, From: net.Router, To: host, Name: "there", Timeout: timeout}
		if r, err := e.Do(); err != nil || r.Answered != (protocol == sandbox.ICMP) {
			t.Errorf("%s: %+v, %v", protocol, r, err)
		}
	}
	if err := table.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if r, err := (sandbox.Exchange{Protocol: sandbox.DNS, From: net.Router, To: host, Name: "again", Timeout: time.Minute}).Do(); err != nil || !r.Answered {
		t.Errorf("after Remove: %+v, %v", r, err)
	}
	if _, err := rules.Install(rules.Plan{Chains: []rules.Chain{{}}, Netns: "/nowhere"}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("Install = %v", err)
	}
}

// The rules stay in the namespace that the path named, and CheckNetns tells that it names another one, or none.
func TestNetnsIsReplaced(t *testing.T) {
	net := sandbox.Setup(t, 2)
	of := func(h *sandbox.Host) string {
		var ns *os.File
		if err := h.Do(func() (err error) { ns, err = os.Open("/proc/thread-self/ns/net"); return err }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ns.Close() })
		return ipq.NetnsOfFile(ns)
	}
	path := filepath.Join(t.TempDir(), "container")
	point := func(to string) {
		t.Helper()
		os.Remove(path)
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	point(of(net.Hosts[0]))
	p := one(rules.Input, 0)
	p.Target.Bypass, p.Netns = true, path
	table, err := rules.Install(p)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := table.CheckNetns(); err != nil {
		t.Errorf("in the same namespace CheckNetns = %v", err)
	}
	point(of(net.Hosts[0])) // by another file
	if err := table.CheckNetns(); err != nil {
		t.Errorf("in the same namespace CheckNetns = %v", err)
	}
	point(of(net.Hosts[1]))
	if err := table.CheckNetns(); !errors.Is(err, rules.ErrNetnsReplaced) || !errors.Is(err, ipq.ErrNetnsReplaced) || !strings.Contains(err.Error(), path) {
		t.Errorf("CheckNetns = %v, want ErrNetnsReplaced", err)
	}
	os.Remove(path)
	if err := table.CheckNetns(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("CheckNetns = %v, want os.ErrNotExist", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := table.CheckNetns(); !errors.Is(err, os.ErrNotExist) || errors.Is(err, rules.ErrNetnsReplaced) {
		t.Errorf("with an empty file CheckNetns = %v, want os.ErrNotExist", err)
	}
	here, err := rules.Install(one(rules.Input, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	if err := here.CheckNetns(); err != nil {
		t.Errorf("without a path CheckNetns = %v", err)
	}
}

// Without the capability the error says which one is missing.
func TestWithoutCapability(t *testing.T) {
	sandbox.RequireNamespaces(t)
	installErr, probeErr := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here, without its capabilities
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&head, &none[0]); err != nil {
			installErr <- err
			probeErr <- err
			return
		}
		_, err := rules.Install(one(rules.Input, 0))
		installErr <- err
		_, err = rules.Probe("")
		probeErr <- err
	}()
	for _, err := range []error{<-installErr, <-probeErr} {
		if !errors.Is(err, unix.EPERM) || !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "needs CAP_NET_ADMIN") {
			t.Errorf("without capabilities: %v", err)
		}
	}
}

// An encoding that the kernel does not have is refused with the names of the options.
func TestMissingEncoding(t *testing.T) {
	sandbox.RequireNamespaces(t)
	if hasNative(t) {
		return // and the compatibility layer is what a kernel has in any case
	}
	p := one(rules.Input, 0, rules.Match{States: rules.New, Except: []rules.Match{{LoopedBack: true}}})
	p.Target.Last = 9
	p.Encoding = rules.Native
	_, err := rules.Install(p)
	if !errors.Is(err, unix.ENOENT) {
		t.Errorf("Install = %v", err)
	}
	for _, option := range []string{"CONFIG_NFT_QUEUE", "CONFIG_NFT_OBJREF", "CONFIG_NFT_HASH", "CONFIG_NFT_CT", "CONFIG_NFT_FIB_INET"} {
		if err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("%v does not name %s", err, option)
		}
	}
}

func TestQueuedCountsEveryPacket(t *testing.T) {
	net := sandbox.Setup(t, 1)
	// Nobody has bound the queue: every packet goes through the rule and passes by its bypass.
	table, err := rules.Install(rules.Plan{
		Target: rules.Target{Queue: 4711, Bypass: true},
		Chains: []rules.Chain{{Hook: rules.Output, Match: []rules.Match{{Protocols: []rules.Protocol{rules.ICMP, rules.ICMPv6}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := uint64(0)
	for _, ipv6 := range []bool{false, net.Router.IPv6.IsValid()} {
		r, err := sandbox.Exchange{Protocol: sandbox.ICMP, From: net.Router, To: net.Hosts[0], IPv6: ipv6, Timeout: time.Minute}.Do()
		if err != nil || !r.Answered {
			t.Fatalf("ping: %+v, %v", r, err)
		}
		want++
	}
	if got, err := table.Queued(); err != nil || got != want {
		t.Errorf("queued %d packets, %v; want %d", got, err, want)
	}
	if err := table.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := table.Queued(); err != nil || got != want {
		t.Errorf("after Remove, queued %d packets, %v; want %d", got, err, want)
	}
}
