package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

// hostView is what can be seen of the queues in all network namespaces.
type hostView struct {
	queues []hostQueue
	unread []unreadRule
	hidden []string // what could not be looked at, a sentence each
}

// lookAtHost lists the bound queues of all namespaces, and the rules that feed queues that no program reads. An error is
// that no namespace could be looked into.
func lookAtHost(proc, named string) (hostView, error) {
	var v hostView
	spaces, closed := namespaces(proc, named)
	var failures, ruleFailures []error
	for _, ns := range spaces {
		queues, err := ns.queues(proc)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		v.queues = append(v.queues, queues...)
		unread, err := ns.unread(proc, queues)
		v.unread = append(v.unread, unread...)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // its last process has ended
			ruleFailures = append(ruleFailures, err)
		}
	}
	slices.SortStableFunc(v.queues, func(a, b hostQueue) int {
		return cmp.Or(cmp.Compare(a.Netns, b.Netns), cmp.Compare(a.Queue, b.Queue))
	})
	slices.SortStableFunc(v.unread, func(a, b unreadRule) int {
		return cmp.Or(cmp.Compare(a.Netns, b.Netns), cmp.Compare(a.First, b.First))
	})
	if len(failures) == len(spaces) {
		if len(spaces) == 0 {
			return v, fmt.Errorf("no network namespace in %s: is it mounted?", proc)
		}
		err := failures[0]
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (run as root)", err)
		}
		return v, fmt.Errorf("cannot read the table of queues: %w", err)
	}
	if len(closed) != 0 {
		v.hidden = append(v.hidden, "queues and their owners may be missing: these processes could not be looked into: "+processNames(proc, closed))
	}
	if len(failures) != 0 {
		v.hidden = append(v.hidden, fmt.Sprintf("queues are missing: network namespaces that could not be looked into: %d (%v)", len(failures), failures[0]))
	}
	if len(ruleFailures) != 0 {
		v.hidden = append(v.hidden, fmt.Sprintf("rules that feed a queue without a reader may be missing: network namespaces whose rules could not be read: %d (%v)",
			len(ruleFailures), strings.ReplaceAll(ruleFailures[0].Error(), "\n", "; ")))
	}
	return v, nil
}

// processNames lists the first few processes with their names, which they chose themselves.
func processNames(proc string, pids []string) string {
	const few = 5
	var names []string
	for _, pid := range pids[:min(few, len(pids))] {
		name, _ := os.ReadFile(filepath.Join(proc, pid, "comm"))
		names = append(names, fmt.Sprintf("%s (%s)", pid, printable(strings.TrimSuffix(string(name), "\n"))))
	}
	list := strings.Join(names, ", ")
	if more := len(pids) - few; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// queues reads the table of a namespace, and finds the owners.
func (ns namespace) queues(proc string) (queues []hostQueue, err error) {
	err = ns.table(proc, func(task string, table []wire.QueueInfo) {
		for _, q := range table {
			h := hostQueue{
				Queue: q.Number, PortID: q.PortID, Mode: copyMode(q.CopyMode), Range: q.CopyRange,
				Packets: q.IDSequence, Waiting: q.Waiting, QueueDropped: q.QueueDropped, UserDropped: q.UserDropped,
				Netns: ns.label, NetnsInode: ns.inode,
			}
			if pid, name, ok := nlsock.Owner(proc, task, q.PortID); ok {
				h.PID, h.Name = pid, name
				h.Refused = h.Waiting != 0 && !mayAnswer(proc, pid, ns.path(proc))
			}
			queues = append(queues, h)
		}
	})
	return queues, err
}

func copyMode(m uint8) string {
	switch m {
	case wire.CopyMeta:
		return "meta"
	case wire.CopyPacket:
		return "packet"
	}
	return "none"
}
