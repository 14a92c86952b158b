package main

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// A ruleset sends one port's packets on the INPUT hook to a queue; the zero value sends none. What the queue accepts
// is counted after it and dropped there, or delivered.
type ruleset struct {
	protocol byte // IPPROTO_UDP or IPPROTO_TCP, 0 = nothing is queued
	port     uint16
	queues   uint16 // balanced over the queues 0 to queues-1
	deliver  bool   // delivered after the queue, not dropped
	marks    bool   // packets of marks 1 and 2 are counted apart
}

var table = &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "bench"}

func chain(name string, priority int32) *nftables.Chain {
	return &nftables.Chain{
		Name: name, Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRef(nftables.ChainPriority(priority)),
	}
}

// apply replaces the rules. Nothing may be waiting in a queue: deleting a chain drops it.
func (a *arena) apply(r ruleset) error {
	if a.rules == r {
		return nil
	}
	err := install(r, xtQueue(r.queues))
	if err != nil && r.queues > 0 {
		err = install(r, &expr.Queue{Num: 0, Total: r.queues})
	}
	if err != nil {
		return fmt.Errorf("installing rules (the kernel needs nf_tables, and NFQUEUE through it or its own queue statement): %w", err)
	}
	a.rules = r
	return nil
}

func install(r ruleset, queue expr.Any) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
	if r.protocol != 0 {
		before, after := c.AddChain(chain("before", -150)), c.AddChain(chain("after", 0))
		c.AddRule(&nftables.Rule{Table: table, Chain: before, Exprs: append(match(r), queue)})
		if r.marks {
			for mark := range uint32(2) {
				c.AddRule(&nftables.Rule{Table: table, Chain: after, Exprs: append(append(match(r), matchMark(mark+1)...), counted(r.deliver)...)})
			}
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: after, Exprs: append(match(r), counted(r.deliver)...)})
	}
	return c.Flush()
}

// xtQueue is the NFQUEUE target, revision 3, through nft's compatibility expression: native struct xt_NFQ_info_v3.
func xtQueue(queues uint16) expr.Any {
	info := xt.Unknown(make([]byte, 8))
	binary.NativeEndian.PutUint16(info[2:], queues)
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}
}

func match(r ruleset) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{r.protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(r.port)},
	}
}

func matchMark(mark uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
	}
}

func counted(deliver bool) []expr.Any {
	if deliver {
		return []expr.Any{&expr.Counter{}}
	}
	return []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}}
}

// passed returns what each rule after the queue has counted, in the order of install. It is the measure of a
// reader's throughput that does not depend on what the reader says.
func passed() ([]uint64, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, err
	}
	rules, err := c.GetRules(table, &nftables.Chain{Name: "after", Table: table})
	if err != nil {
		return nil, err
	}
	var counts []uint64
	for _, r := range rules {
		for _, e := range r.Exprs {
			if n, ok := e.(*expr.Counter); ok {
				counts = append(counts, n.Packets)
			}
		}
	}
	return counts, nil
}

// queueUDP are the rules of most experiments.
func queueUDP(queues uint16) ruleset {
	return ruleset{protocol: unix.IPPROTO_UDP, port: target.Port(), queues: queues}
}
