package main

import (
	"bytes"
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

// namespaces finds each network namespace once: by the threads that are in it,
// and by the names of ip-netns(8). Closed are the processes that the caller may not
// look into.
func namespaces(proc, named string) (list []namespace, closed []string) {
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
			if errors.Is(err, fs.ErrPermission) && !isKernelThread(proc, pid) {
				closed = append(closed, pid)
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
	return list, closed
}

// path is a file that stands for the namespace.
func (ns namespace) path(proc string) string {
	if ns.file != "" {
		return ns.file
	}
	return filepath.Join(proc, ns.task, "ns/net")
}

// inside runs fn on a thread that is in the namespace.
func (ns namespace) inside(proc string, fn func() error) error {
	if ns.label == "" {
		return fn()
	}
	return nlsock.InNetns(ns.path(proc), fn)
}

// table reads the table of queues, and hands it to fn with a task in the namespace, where that task can be found.
func (ns namespace) table(proc string, fn func(task string, queues []wire.QueueInfo)) error {
	read := func(task string) error {
		table, err := os.ReadFile(filepath.Join(proc, task, "net/netfilter/nfnetlink_queue"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			return nil // no nfnetlink_queue, or the process has ended: no queue
		}
		if err != nil {
			return err
		}
		queues, err := wire.ParseQueueTable(table)
		if err == nil {
			fn(task, queues)
		}
		return err
	}
	if ns.file == "" {
		return read(ns.task)
	}
	return nlsock.InNetns(ns.file, func() error { return read("thread-self") })
}

// isKernelThread reports whether a process is a thread of the kernel, which owns no queue.
func isKernelThread(proc, pid string) bool {
	stat, _ := os.ReadFile(filepath.Join(proc, pid, "stat"))
	// The fields are counted from the state on: a name may have anything in it.
	const flags, kthread = 6, 0x00200000 // PF_KTHREAD of include/linux/sched.h
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	fields := strings.Fields(string(rest))
	if len(fields) <= flags {
		return false
	}
	value, err := strconv.ParseUint(fields[flags], 10, 64)
	return err == nil && value&kthread != 0
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
