package main

import (
	"context"
	"fmt"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// goNfqueue reads as github.com/florianl/go-nfqueue's own example does.
type goNfqueue struct {
	settings settings
	queue    *nfqueue.Nfqueue
	failed   chan error
}

func (r *goNfqueue) bind(s settings) error {
	c := nfqueue.Config{NfQueue: s.queue, MaxQueueLen: s.maxlen, MaxPacketLen: 0xffff, Copymode: nfqueue.NfQnlCopyPacket, AfFamily: unix.AF_INET}
	if s.gso {
		c.Flags = nfqueue.NfQaCfgFlagGSO
	}
	q, err := nfqueue.Open(&c)
	if err != nil {
		return err
	}
	r.settings, r.queue = s, q
	if err := q.SetOption(netlink.NoENOBUFS, true); err != nil {
		return err
	}
	if err := q.Con.SetReadBuffer(s.rcvbuf); err != nil {
		return err
	}
	r.failed = make(chan error, 1)
	return q.RegisterWithErrorFunc(context.Background(), r.answer, func(err error) int {
		r.failed <- err
		return 1
	})
}

// read waits for a failure: the library has read, from a goroutine of its own, since bind.
func (r *goNfqueue) read() error { return <-r.failed }

func (r *goNfqueue) answer(a nfqueue.Attribute) int {
	var err error
	switch n := answered.Add(1); {
	case r.settings.work == mark:
		err = r.queue.SetVerdictWithOption(*a.PacketID, nfqueue.NfAccept, nfqueue.WithMark(uint32(1+n&1)))
	case r.settings.work == alternate && n&1 == 0:
		err = r.queue.SetVerdict(*a.PacketID, nfqueue.NfDrop)
	default:
		err = r.queue.SetVerdict(*a.PacketID, nfqueue.NfAccept)
	}
	if err != nil {
		exit(fmt.Errorf("answering: %w", err))
	}
	return 0
}
