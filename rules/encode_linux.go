package rules

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// register is the one that every condition works in: each loads it and tests it before the next does.
const register = 1

// encoder adds tables to the batch of a connection.
type encoder struct {
	conn     *nftables.Conn
	encoding Encoding
	duty     duty
}

// add puts the table into the batch and returns it. The table belongs to the connection.
func (e encoder) add(spec tableSpec) (*nftables.Table, error) {
	table := e.conn.CreateTable(&nftables.Table{
		Name: spec.name, Family: nftables.TableFamily(spec.family), Flags: nftables.TableFlagOwner,
	})
	e.conn.AddObj(&nftables.NamedObj{Table: table, Name: queuedCounter, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
	for _, c := range spec.chains {
		chain := &nftables.Chain{Name: c.name, Table: table}
		if c.base != nil {
			accept := nftables.ChainPolicyAccept
			chain.Type = nftables.ChainTypeFilter
			chain.Hooknum = nftables.ChainHookRef(nftables.ChainHook(c.base.Hook))
			chain.Priority = nftables.ChainPriorityRef(nftables.ChainPriority(c.base.Priority))
			chain.Policy = &accept
		}
		e.conn.AddChain(chain)
	}
	return table, e.rules(table, spec)
}

// rules puts the rules of a table into the batch, whose chains are there or come before them.
func (e encoder) rules(table *nftables.Table, spec tableSpec) error {
	for _, c := range spec.chains {
		chain := &nftables.Chain{Name: c.name, Table: table}
		for _, r := range c.rules {
			exprs, err := e.rule(table, r)
			if err != nil {
				return fmt.Errorf("rule %q: %w", r, err)
			}
			e.conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
		}
	}
	return nil
}

func (e encoder) rule(table *nftables.Table, r ruleSpec) ([]expr.Any, error) {
	var exprs []expr.Any
	for _, c := range r.conditions {
		exprs = append(exprs, load(c.field)...)
		test, err := e.test(table, c)
		if err != nil {
			return nil, err
		}
		exprs = append(exprs, test...)
	}
	do, err := e.action(table, r.action)
	return append(append(exprs, unmark(r.unmark)...), do...), err
}

// unmark takes the bits from the packet's mark. It leaves the others as they are.
func unmark(bits uint32) []expr.Any {
	set := &expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: register}
	switch bits {
	case 0:
		return nil
	case 0xffffffff:
		return []expr.Any{&expr.Immediate{Register: register, Data: hostOrder(0)}, set}
	}
	return append(load(fieldMark), masked(hostOrder(^bits)), set)
}

// load reads the field into the register, in the byte order of the condition's values.
func load(f field) []expr.Any {
	meta := func(k expr.MetaKey) []expr.Any { return []expr.Any{&expr.Meta{Key: k, Register: register}} }
	payload := func(base expr.PayloadBase, offset, length uint32) []expr.Any {
		return []expr.Any{&expr.Payload{DestRegister: register, Base: base, Offset: offset, Len: length}}
	}
	switch f {
	case fieldIn:
		return meta(expr.MetaKeyIIFNAME)
	case fieldOut:
		return meta(expr.MetaKeyOIFNAME)
	case fieldPktType:
		return meta(expr.MetaKeyPKTTYPE)
	case fieldFamily:
		return meta(expr.MetaKeyNFPROTO)
	case fieldProtocol:
		return meta(expr.MetaKeyL4PROTO)
	case fieldSrc4: // struct iphdr
		return payload(expr.PayloadBaseNetworkHeader, 12, 4)
	case fieldDst4:
		return payload(expr.PayloadBaseNetworkHeader, 16, 4)
	case fieldSrc6: // struct ipv6hdr
		return payload(expr.PayloadBaseNetworkHeader, 8, 16)
	case fieldDst6:
		return payload(expr.PayloadBaseNetworkHeader, 24, 16)
	case fieldSrcPort:
		return payload(expr.PayloadBaseTransportHeader, 0, 2)
	case fieldDstPort:
		return payload(expr.PayloadBaseTransportHeader, 2, 2)
	case fieldICMPType, fieldICMPv6Type:
		return payload(expr.PayloadBaseTransportHeader, 0, 1)
	case fieldTransport:
		return payload(expr.PayloadBaseTransportHeader, 1, 3)
	case fieldMark:
		return meta(expr.MetaKeyMARK)
	case fieldState:
		return []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: register}}
	case fieldPackets: // in the order of the host, and ranges are compared byte by byte
		return []expr.Any{
			&expr.Ct{Key: expr.CtKeyPKTS, Register: register},
			&expr.Byteorder{Op: expr.ByteorderHton, SourceRegister: register, DestRegister: register, Len: 8, Size: 8},
		}
	case fieldSrcType:
		return []expr.Any{&expr.Fib{Register: register, FlagSADDR: true, ResultADDRTYPE: true}}
	case fieldNextHop:
		return []expr.Any{&expr.Rt{Register: register, Key: expr.RtNexthop4}}
	}
	panic(f)
}

// masked clears the bits of the register that are not in the mask.
func masked(mask []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

// test leaves the rule unless the register holds what the condition asks for.
func (e encoder) test(table *nftables.Table, c condition) ([]expr.Any, error) {
	switch c.field {
	case fieldMark:
		if c.mask == 0xffffffff {
			return []expr.Any{&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: hostOrder(c.value)}}, nil
		}
		return []expr.Any{masked(hostOrder(c.mask)), &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: hostOrder(c.value)}}, nil
	case fieldState:
		return []expr.Any{masked(hostOrder(c.mask)), &expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: hostOrder(0)}}, nil
	}
	if len(c.spans) > 1 {
		return e.lookup(table, c)
	}
	s := c.spans[0]
	switch bits := s.prefix(); {
	case s.single():
		return []expr.Any{&expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: s.lo}}, nil
	case bits >= 0 && c.field >= fieldSrc4 && c.field <= fieldDst6:
		mask := make([]byte, len(s.lo))
		for i := range mask {
			mask[i] = ^(s.lo[i] ^ s.hi[i])
		}
		return []expr.Any{masked(mask), &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: s.lo}}, nil
	}
	return []expr.Any{&expr.Range{Op: expr.CmpOpEq, Register: register, FromData: s.lo, ToData: s.hi}}, nil
}

// lookup tests the register against a set that lives and dies with the rule.
func (e encoder) lookup(table *nftables.Table, c condition) ([]expr.Any, error) {
	set := &nftables.Set{
		Table: table, Anonymous: true, Constant: true, Interval: c.field.quantity(), KeyType: c.field.setType(),
	}
	var elements []nftables.SetElement
	for _, s := range c.spans {
		elements = append(elements, nftables.SetElement{Key: s.lo})
		if end := after(s.hi); set.Interval && end != nil {
			elements = append(elements, nftables.SetElement{Key: end, IntervalEnd: true})
		}
	}
	if err := e.conn.AddSet(set, elements); err != nil {
		return nil, err
	}
	return []expr.Any{&expr.Lookup{SourceRegister: register, SetName: set.Name, SetID: set.ID}}, nil
}

func (f field) setType() nftables.SetDatatype {
	switch f {
	case fieldPktType:
		return nftables.TypePktType
	case fieldProtocol:
		return nftables.TypeInetProto
	case fieldSrc4, fieldDst4:
		return nftables.TypeIPAddr
	case fieldSrc6, fieldDst6:
		return nftables.TypeIP6Addr
	case fieldSrcPort, fieldDstPort:
		return nftables.TypeInetService
	case fieldICMPType:
		return nftables.TypeICMPType
	case fieldICMPv6Type:
		return nftables.TypeICMP6Type
	}
	panic(f)
}

func (e encoder) action(table *nftables.Table, a action) ([]expr.Any, error) {
	switch a.kind {
	case actionReturn:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}}, nil
	case actionJump:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: a.chain}}, nil
	case actionGoto:
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: a.chain}}, nil
	case actionSpread:
		return e.spread(table, a.spread)
	}
	counter := &expr.Objref{Type: int(nftables.ObjTypeCounter), Name: queuedCounter}
	// As of an accepted packet that comes back from the queue, the rest of the chain sees nothing of what passes.
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	switch {
	case e.duty == count:
		return []expr.Any{counter, accept}, nil
	case e.duty == pass:
		return []expr.Any{accept}, nil
	case e.encoding == Compat:
		return []expr.Any{counter, a.target.xtables()}, nil
	}
	return []expr.Any{counter, a.target.native()}, nil
}

// spread goes to the chain whose place in the list is the flow's hash.
func (e encoder) spread(table *nftables.Table, chains []string) ([]expr.Any, error) {
	verdicts := &nftables.Set{
		Table: table, Anonymous: true, Constant: true, IsMap: true, KeyType: nftables.TypeInteger, DataType: nftables.TypeVerdict,
	}
	var elements []nftables.SetElement
	for i, name := range chains {
		elements = append(elements, nftables.SetElement{
			Key: binary.BigEndian.AppendUint32(nil, uint32(i)), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: name},
		})
	}
	if err := e.conn.AddSet(verdicts, elements); err != nil {
		return nil, err
	}
	return []expr.Any{
		&expr.Hash{DestRegister: register, Modulus: uint32(len(chains)), Type: expr.HashTypeSym},
		// nft lists the keys of such a map as big-endian numbers, so that is what they are.
		&expr.Byteorder{Op: expr.ByteorderHton, SourceRegister: register, DestRegister: register, Len: 4, Size: 4},
		&expr.Lookup{SourceRegister: register, IsDestRegSet: true, SetName: verdicts.Name, SetID: verdicts.ID}, // 0: the verdict
	}, nil
}

// native is the target as nft's queue statement.
func (t Target) native() *expr.Queue {
	q := &expr.Queue{Num: t.Queue, Total: uint16(t.queues())}
	if t.Bypass {
		q.Flag |= expr.QueueFlagBypass
	}
	if t.queues() > 1 && t.Balance == BalanceCPU {
		q.Flag |= expr.QueueFlagFanout
	}
	return q
}

// Flags of struct xt_NFQ_info_v3, from include/uapi/linux/netfilter/xt_NFQUEUE.h.
const (
	nfqBypass    = 0x01 // NFQ_FLAG_BYPASS
	nfqCPUFanout = 0x02 // NFQ_FLAG_CPU_FANOUT
)

// xtables is the target as the xtables target NFQUEUE, revision 3: three numbers of 16 bits in the order of the host, padded
// to 8 bytes as XT_ALIGN asks for.
func (t Target) xtables() *expr.Target {
	flags := uint16(0)
	if t.Bypass {
		flags |= nfqBypass
	}
	if t.queues() > 1 && t.Balance == BalanceCPU {
		flags |= nfqCPUFanout
	}
	info := make(xt.Unknown, 8)
	binary.NativeEndian.PutUint16(info[0:], t.Queue)
	binary.NativeEndian.PutUint16(info[2:], uint16(t.queues()))
	binary.NativeEndian.PutUint16(info[4:], flags)
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}
}
