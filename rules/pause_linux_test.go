package rules_test

import (
	"net"
	"slices"
	"testing"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

// A paused table queues nothing, counts on, and costs no packet that waits: neither its own nor another program's. That
// holds for rules that use connection tracking, too, which the kernel unhooks with the last such rule.
func TestPause(t *testing.T) {
	sandbox.RequireNamespaces(t)
	for way, install := range ways(t) {
		for name, target := range map[string]rules.Target{
			"one queue": {Queue: 950}, "balanced": {Queue: 950, Last: 951, Balance: rules.BalanceFlow},
		} {
			t.Run(way+" "+name, func(t *testing.T) {
				stranger, held := hold(t, 952)
				waits := listen(t, "127.0.0.1:0")
				port := waits.LocalAddr().(*net.UDPAddr).AddrPort().Port()
				other, err := rules.Install(rules.Plan{Target: rules.Target{Queue: 952}, Chains: []rules.Chain{
					{Hook: rules.Output, Match: []rules.Match{{DstPorts: ports(port)}}},
				}})
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
				waits.send(t, "waits")
				id := <-held

				taps := []*tap{open(t, 950), open(t, 951)}
				queued := func() (n int) {
					for _, tap := range taps {
						packets, _ := tap.take()
						n += len(packets)
					}
					return n
				}
				s := listen(t, "127.0.0.1:0")
				table := installed(t, install, rules.Plan{Target: target, Chains: []rules.Chain{{Hook: rules.Output, Match: []rules.Match{
					{Protocols: protocols(rules.UDP), States: rules.New | rules.Established, Except: []rules.Match{{DstPorts: ports(port)}, {Out: []string{"none"}}}},
					{Protocols: protocols(rules.UDP), Except: []rules.Match{{DstPorts: ports(port)}}}, // sees none that the first has taken
				}}}})
				count := uint64(0)
				for i, want := range []int{1, 0, 0, 1, 1} {
					switch i {
					case 1:
						err = table.Pause()
					case 2:
						err = table.Pause() // again, and nothing changes
					case 3, 4:
						err = table.Resume()
					}
					if err != nil {
						t.Fatal(err)
					}
					if !s.echo(t, "packet") {
						t.Fatal("a datagram did not arrive")
					}
					if got := queued(); got != want {
						t.Errorf("step %d: %d packets were queued, want %d", i, got, want)
					}
					count++
					if got, err := table.Queued(); got != count || err != nil {
						t.Errorf("step %d: Queued = %d, %v, want %d", i, got, err, count)
					}
				}
				destroyed(t)
				if err := stranger.SetVerdict(id, ipq.Accept); err != nil {
					t.Error(err)
				}
				if !waits.gets(t, "waits") || stranger.Stats().Gone != 0 {
					t.Error("a packet that waited in another queue was lost")
				}
				if err := table.Remove(t.Context()); err != nil {
					t.Error(err)
				}
				if err := table.Pause(); err != nil {
					t.Error(err)
				}
				if err := table.Resume(); err != nil || slices.Contains(tables(t), table.Name()) {
					t.Errorf("after Remove: %v, tables %v", err, tables(t))
				}
			})
		}
	}
}
