package ipqtest

import (
	"errors"
	"slices"

	"ipq"
	"ipq/internal/wire"
)

const (
	verdictMask = 0xff   // NF_VERDICT_MASK
	minType     = 0x10   // NLMSG_MIN_TYPE
	flagsEnd    = 1 << 5 // NFQA_CFG_F_MAX
	nfgenSize   = 4

	cmdPFBind, cmdPFUnbind = 3, 4 // NFQNL_CFG_CMD_PF_BIND and PF_UNBIND, which do nothing since Linux 3.8
)

// receive deals with the messages of a datagram, each for itself: one that fails does not stop the others. mu is held.
func (k *Kernel) receive(s *socket, datagram []byte) {
	for {
		h, body, rest, ok, _ := wire.Next(datagram)
		if !ok {
			return
		}
		datagram = rest
		var failure errno
		if h.Flags&wire.FlagRequest != 0 && h.Type >= minType && len(body) >= nfgenSize {
			failure = k.handle(s, h.Type, body)
		}
		if failure != 0 || h.Flags&wire.FlagAck != 0 {
			s.send(wire.AppendError(nil, wire.Error{Errno: int32(failure), Request: h}))
		}
	}
}

func (k *Kernel) handle(s *socket, typ uint16, body []byte) errno {
	switch typ {
	case wire.TypeConfig:
		return k.configure(s, body)
	case wire.TypeVerdict, wire.TypeVerdictBatch:
		return k.answer(s, typ, body)
	case wire.TypePacket:
		return enotsupp
	}
	return einval
}

// configure is nfqnl_recv_config: it judges the flags first, then the owner, then the command, and applies the rest.
func (k *Kernel) configure(s *socket, body []byte) errno {
	c, err := wire.DecodeConfig(body)
	switch flags := ipq.Flags(c.Flags); {
	case err != nil:
		return malformed(err)
	case c.Cmd == cmdPFBind, c.Cmd == cmdPFUnbind:
		return 0
	case c.Flags != 0 && c.Mask == 0:
		return einval
	case c.Flags >= flagsEnd, flags&ipq.Flags(c.Mask)&k.config.Lacks != 0:
		return eopnotsupp
	}
	q := k.queues[c.Queue]
	if q != nil && q.owner != s {
		return eperm
	}
	switch c.Cmd {
	case 0:
	case wire.CmdBind:
		if q != nil {
			return ebusy
		}
		q = k.create(c.Queue, s)
	case wire.CmdUnbind:
		if q == nil {
			return enodev
		}
		k.destroy(c.Queue)
		return 0
	default:
		return eopnotsupp
	}
	if q == nil {
		return enodev
	}
	if c.SetParams {
		q.setMode(c.CopyMode, c.CopyRange)
	}
	if c.MaxLen != 0 {
		q.maxLen = c.MaxLen
	}
	q.flags = q.flags&^ipq.Flags(c.Mask) | ipq.Flags(c.Flags&c.Mask)
	return 0
}

// setMode is nfqnl_set_mode. An unknown mode changes nothing, and is not an error to the kernel either.
func (q *queue) setMode(mode uint8, rng uint32) {
	switch mode {
	case wire.CopyNone, wire.CopyMeta:
		q.copyMode, q.copyRange = mode, 0
	case wire.CopyPacket:
		q.copyMode, q.copyRange = mode, int(min(rng, wire.MaxPayload))
		if rng == 0 {
			q.copyRange = wire.MaxPayload
		}
	}
}

// answer is nfqnl_recv_verdict and nfqnl_recv_verdict_batch.
func (k *Kernel) answer(s *socket, typ uint16, body []byte) errno {
	var v wire.Verdict
	err := wire.DecodeVerdict(&v, body)
	q := k.queues[v.Queue]
	switch {
	case err != nil:
		return malformed(err)
	case q == nil:
		return enodev
	case q.owner != s:
		return eperm
	case v.Verdict&verdictMask > wire.NFStop, v.Verdict&verdictMask == wire.NFStolen:
		return einval
	}
	first, n := 0, 1
	if typ == wire.TypeVerdictBatch {
		n = q.through(v.ID)
		v.SetPayload = false
		v.ConnMark, v.ConnMarkMask, v.ConnLabels, v.ConnLabelsMask = 0, 0, wire.Labels{}, wire.Labels{} // a range carries a mark and nothing else
	} else if place, ok := q.find(v.ID); ok {
		first = place
	} else {
		n = 0
	}
	if n == 0 {
		return enoent
	}
	for _, e := range q.waiting[first : first+n] {
		e.answer(&v, k.config.Lacks&ipq.FlagConntrack == 0)
	}
	q.waiting = slices.Delete(q.waiting, first, first+n)
	return 0
}

// malformed is the errno for a message that the kernel cannot read.
func malformed(err error) errno {
	if errors.Is(err, wire.ErrShort) {
		return erange
	}
	return einval
}
