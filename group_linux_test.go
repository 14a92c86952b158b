package ipq_test

import (
	"context"
	"errors"
	"testing"

	"ipq"
	"ipq/internal/sandbox"
	"ipq/rules"
)

func TestGroupSpreadsFlows(t *testing.T) {
	net := sandbox.Setup(t, 1)
	g, err := ipq.OpenGroup(ipq.Config{Queue: 900}, 903)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var perQueue [4]int // each written by the handler of one queue alone
	ids := make(chan ipq.ID, 8)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- g.ServeEach(ctx, func(q *ipq.Queue) ipq.Handler {
			count := &perQueue[q.Number()-900]
			return func(p *ipq.Packet) ipq.Verdict {
				if p.Queue() != q {
					t.Errorf("queue %d got a packet of queue %d", q.Number(), p.Queue().Number())
				}
				*count++
				ids <- p.ID
				return ipq.Hold
			}
		})
		close(ids)
	}()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for id := range ids { // of any queue
			if err := g.SetVerdict(id, ipq.Accept); err != nil {
				t.Error(err)
			}
		}
	}()
	table, err := rules.Install(rules.Plan{
		Target: rules.Target{Queue: 900, Last: 903, Balance: rules.BalanceFlow},
		Chains: []rules.Chain{chain(rules.Output, rules.Match{Protocols: []rules.Protocol{rules.UDP}})},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Remove(context.Background())
	for range 32 { // every query from another port
		if !do(t, sandbox.Exchange{Protocol: sandbox.DNS, From: net.Router, To: net.Hosts[0], Name: "flow.test"}) {
			t.Fatal("a query was not answered")
		}
	}
	cancel()
	<-answered
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ServeEach: %v", err)
	}
	used := 0
	for _, n := range perQueue {
		if n > 0 {
			used++
		}
	}
	s := g.Stats()
	if used < 2 || s.Skew < 1 || s.Skew >= 4 {
		t.Errorf("32 flows went to %v, skew %.2f: want them spread", perQueue, s.Skew)
	}
	if len(s.Queues) != 4 {
		t.Errorf("%d stats for 4 queues", len(s.Queues))
	}
}

func TestGroupOpensAllOrNone(t *testing.T) {
	open(t, ipq.Config{Queue: 902})
	if _, err := ipq.OpenGroup(ipq.Config{Queue: 900}, 903); !errors.Is(err, ipq.ErrQueueBusy) {
		t.Errorf("a group over a queue that is taken: %v", err)
	}
	open(t, ipq.Config{Queue: 900}) // was given back
	if _, err := ipq.OpenGroup(ipq.Config{Queue: 5}, 4); err == nil {
		t.Error("a group that ends before it begins was opened")
	}
}
