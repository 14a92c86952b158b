package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"ipq"
	"ipq/internal/nlsock"
	"ipq/internal/privilege"
	"ipq/internal/wire"
)

// supervisorKeeps is what the supervisor of run needs where it runs as root: the program's processes may have other users, and
// more capabilities than it has, and it looks into them and may have to end them.
const supervisorKeeps = privilege.NetAdmin | privilege.SysPtrace | privilege.DACOverride | privilege.Kill

// restrict leaves a command that goes on for long, and looks at what strangers send, CAP_NET_ADMIN alone, to bind queues
// first to last with and to administer their rules. The program is executed again for that, so it comes before anything is
// opened. Afterwards a process that has more capabilities can no longer be looked into, so that one of these queues is
// taken is said here, with the owner's name.
func restrict(ctx context.Context, keep privilege.Capabilities, queues ...uint16) error {
	for _, q := range queues {
		if err := taken(q); err != nil {
			return err
		}
	}
	err := privilege.Keep(ctx, keep)
	if ctx.Err() != nil {
		return &statusError{status: exitDone} // by a signal, before there was anything to end
	}
	return err
}

// taken returns an error when a process that can be seen from here owns a queue of this network namespace.
func taken(queue uint16) error {
	table, err := os.ReadFile(nlsock.QueueTable)
	if err != nil {
		return nil // what this is about, opening the queue shows
	}
	rows, err := wire.ParseQueueTable(table)
	if err != nil {
		return nil
	}
	for _, row := range rows {
		if row.Number != queue {
			continue
		}
		if pid, name, ok := nlsock.Owner("/proc", "thread-self", row.PortID); ok {
			return &ipq.OpError{Op: "open", Queue: queue, Err: fmt.Errorf("%w: process %d (%q): stop it, or use another queue number", ipq.ErrQueueBusy, pid, name)}
		}
	}
	return nil
}

// seal takes system calls from a command that has opened what it needs. Without the filter it goes on.
func seal(progress io.Writer, needs privilege.Needs) {
	if err := privilege.Seal(needs); err != nil {
		fmt.Fprintf(progress, "ipq: goes on without a seccomp filter: %v\n", err)
	}
}
