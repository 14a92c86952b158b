package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

// namespace is a network namespace that can be looked into from here.
type namespace struct {
	inode uint64
	task  string // a directory of the proc file system in it: "7/task/8"; or
	file  string // a file that stands for it, when no process lives in it
	label string // how a person finds it; empty for the caller's own
}

// hostQueues lists the bound queues of all namespaces. Hidden says what could
// not be looked at; an error is that nothing could.
func hostQueues(proc, named string) (queues []hostQueue, hidden string, err error) {
	spaces, unseen := namespaces(proc, named)
	var failures []error
	for _, ns := range spaces {
		list, err := ns.queues(proc)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		queues = append(queues, list...)
	}
	slices.SortStableFunc(queues, func(a, b hostQueue) int {
		return cmp.Or(cmp.Compare(a.Netns, b.Netns), cmp.Compare(a.Queue, b.Queue))
	})
	if len(failures) == len(spaces) {
		if len(spaces) == 0 {
			return nil, "", fmt.Errorf("no network namespace in %s: is it mounted?", proc)
		}
		err := failures[0]
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (run as root)", err)
		}
		return nil, "", fmt.Errorf("cannot read the table of queues: %w", err)
	}
	switch {
	case unseen != 0:
		hidden = fmt.Sprintf("queues may be missing: the network namespaces of some processes could not be looked into (%d of them)", unseen)
	case len(failures) != 0:
		hidden = fmt.Sprintf("queues are missing: some network namespaces could not be looked into (%d of them)", len(failures))
	}
	return queues, hidden, nil
}

// namespaces finds each network namespace once: by the threads that are in it,
// and by the names of ip-netns(8). Unseen is how many processes are closed to
// the caller.
func namespaces(proc, named string) (list []namespace, unseen int) {
	seen := make(map[uint64]int)
	add := func(ns namespace) {
		if _, ok := seen[ns.inode]; !ok {
			seen[ns.inode] = len(list)
			list = append(list, ns)
		}
	}
	if inode, err := netnsInode(filepath.Join(proc, "self/ns/net")); err == nil {
		add(namespace{inode: inode, task: "self"})
	}
	// The first thread of each process before the others, so that a label
	// names a process that lives there altogether.
	var tasks []string
	for _, pid := range numbers(proc) {
		inode, err := netnsInode(filepath.Join(proc, pid, "ns/net"))
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				unseen++
			}
			continue
		}
		add(namespace{inode: inode, task: pid, label: "pid " + pid})
		for _, tid := range numbers(filepath.Join(proc, pid, "task")) {
			if tid != pid {
				tasks = append(tasks, pid+"/task/"+tid)
			}
		}
	}
	for _, task := range tasks {
		if inode, err := netnsInode(filepath.Join(proc, task, "ns/net")); err == nil {
			pid, tid, _ := strings.Cut(task, "/task/")
			add(namespace{inode: inode, task: task, label: "pid " + pid + " thread " + tid})
		}
	}
	names, _ := os.ReadDir(named)
	for _, name := range names {
		file := filepath.Join(named, name.Name())
		inode, err := mountedNamespace(file)
		if err != nil {
			continue
		}
		if i, ok := seen[inode]; !ok {
			add(namespace{inode: inode, file: file, label: name.Name()})
		} else if list[i].label != "" {
			list[i].label = name.Name()
		}
	}
	return list, unseen
}

// queues reads the table of a namespace, and finds the owners.
func (ns namespace) queues(proc string) (queues []hostQueue, err error) {
	read := func() error {
		table, err := os.ReadFile(filepath.Join(proc, ns.task, "net/netfilter/nfnetlink_queue"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			return nil // no nfnetlink_queue, or the process has ended: no queue
		}
		if err != nil {
			return err
		}
		infos, err := wire.ParseQueueTable(table)
		if err != nil {
			return err
		}
		for _, q := range infos {
			h := hostQueue{
				Queue: q.Number, PortID: q.PortID, Mode: copyMode(q.CopyMode), Range: q.CopyRange,
				Packets: q.IDSequence, Waiting: q.Waiting, QueueDropped: q.QueueDropped, UserDropped: q.UserDropped,
				Netns: ns.label, NetnsInode: ns.inode,
			}
			if pid, name, ok := nlsock.Owner(proc, ns.task, q.PortID); ok {
				h.PID, h.Name = pid, name
			}
			queues = append(queues, h)
		}
		return nil
	}
	if ns.file == "" {
		err = read()
	} else {
		ns.task = "thread-self"
		err = nlsock.InNetns(ns.file, read)
	}
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

// netnsInode reads a link like "net:[4026531833]".
func netnsInode(link string) (uint64, error) {
	target, err := os.Readlink(link)
	if err != nil {
		return 0, err
	}
	number, ok := strings.CutPrefix(target, "net:[")
	if !ok {
		return 0, fmt.Errorf("%s is %q", link, target)
	}
	return strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
}

// numbers are the names in a directory that are numbers, in order.
func numbers(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return names
}
