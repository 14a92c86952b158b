package ipq

import (
	"errors"
	"fmt"
	"os"

	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

// bind makes the queue ours, with all the flags that the kernel has.
func (q *Queue) bind() error {
	ask := q.cfg.Flags | q.cfg.Require
	err := q.bindWith(ask)
	if errors.Is(err, nlsock.EOPNOTSUPP) {
		// The kernel looks at the flags before anything else, so nothing has happened yet.
		var missing Flags
		if missing, err = q.missing(ask); err != nil {
			return err
		}
		if lacking := missing & q.cfg.Require; lacking != 0 {
			return fmt.Errorf("the kernel lacks the required %v: %w", lacking, errors.ErrUnsupported)
		}
		ask &^= missing
		err = q.bindWith(ask)
	}
	if err != nil {
		return q.explainBind(err)
	}
	q.flags = ask
	return nil
}

func (q *Queue) bindWith(flags Flags) error {
	c := wire.Config{
		Queue: q.cfg.Queue, Cmd: wire.CmdBind,
		SetParams: true, CopyMode: q.cfg.copyMode(), CopyRange: uint32(q.cfg.Range),
		MaxLen: q.cfg.MaxLen, Mask: uint32(flags), Flags: uint32(flags),
	}
	err := q.request(c)
	if errors.Is(err, nlsock.EBUSY) {
		// This very socket has bound the queue before: an adopted one, or an acknowledgement that was lost. What its
		// former owner has set and we leave at the default must not stay.
		q.inherited.open = q.adopted
		c.Cmd, c.Mask, c.MaxLen = 0, uint32(flagsKnown), uint32(q.cfg.maxLen())
		err = q.request(c)
	}
	return err
}

// missing asks for each flag alone, of a queue that need not be ours: the kernel refuses an unknown flag before it looks
// at the queue.
func (q *Queue) missing(flags Flags) (Flags, error) {
	var missing Flags
	for _, x := range flagNames {
		if flags&x.flag == 0 {
			continue
		}
		err := q.request(wire.Config{Queue: q.cfg.Queue, Mask: uint32(x.flag), Flags: uint32(x.flag)})
		switch {
		case errors.Is(err, nlsock.EOPNOTSUPP):
			missing |= x.flag
		case err == nil, errors.Is(err, nlsock.ENODEV), errors.Is(err, nlsock.EPERM):
		default:
			return 0, err
		}
	}
	return missing, nil
}

// explainBind says what an errno of the bind means. EPERM has two meanings.
func (q *Queue) explainBind(err error) error {
	switch {
	case errors.Is(err, nlsock.EPERM):
		return q.explainEPERM()
	case errors.Is(err, nlsock.EINVAL), errors.Is(err, nlsock.EPROTONOSUPPORT), errors.Is(err, nlsock.EOPNOTSUPP):
		return fmt.Errorf("the kernel has no nfnetlink_queue (CONFIG_NETFILTER_NETLINK_QUEUE, module nfnetlink_queue): %w (%w)",
			errors.ErrUnsupported, err)
	}
	return err
}

func (q *Queue) explainEPERM() error {
	info, known := q.tableRow()
	taken := known && info.PortID != q.conn.Port()
	switch {
	case !q.conn.Netlink():
		return ErrQueueBusy
	case !nlsock.MayAdminister():
		return fmt.Errorf("CAP_NET_ADMIN is missing: run as root, give the program the capability, or use a private user and network namespace: %w",
			os.ErrPermission)
	case !taken:
		return fmt.Errorf("%w, or the network namespace belongs to a user namespace in which this process has no rights: %w",
			ErrQueueBusy, os.ErrPermission)
	}
	if pid, name, ok := q.owner(info.PortID); ok {
		return fmt.Errorf("%w: process %d (%q): stop it, or use another queue number", ErrQueueBusy, pid, name)
	}
	return fmt.Errorf("%w, port id %d, of a process that is not visible here: use another queue number", ErrQueueBusy, info.PortID)
}

// owner finds the process behind a port id of the queue's namespace.
func (q *Queue) owner(port uint32) (pid int, name string, ok bool) {
	look := func() error {
		pid, name, ok = nlsock.Owner("/proc", "thread-self", port)
		return nil
	}
	if q.cfg.Netns != "" {
		nlsock.InNetns(q.cfg.Netns, look) // without it there is no name, and the error stands
	} else {
		look()
	}
	return pid, name, ok
}
