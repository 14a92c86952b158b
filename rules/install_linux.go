package rules

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"ipq/internal/nlsock"
)

// Table is an installed plan. Its methods may be called from any goroutine.
type Table struct {
	name     string
	encoding Encoding
	specs    []tableSpec
	path     string      // Plan.Netns
	netns    os.FileInfo // what it was; nil where /proc does not show it

	mu     sync.Mutex
	conn   *nftables.Conn // nil when closed; the kernel removes the tables with its socket
	tables []*nftables.Table
	queues *os.File // the namespace's queues; nil when they could not be opened
	queued uint64   // when closed, what the counters said
}

// installed holds the tables that are not closed. One that the program does not keep would be collected, its socket
// closed, and its rules removed by the kernel.
var installed sync.Map

// Install puts the plan into the kernel, all of it or nothing. The rules are gone after Remove or Close, and at the end
// of the process. Bind the queue first: see the package's text on locking oneself out. A refusal costs no packet that
// waits in a queue, unless it is the chains that the kernel refuses and not the rules: it takes no more than 1024 at a
// hook.
//
// The error says what the kernel refused and why it may have; errors.Is finds [ErrInvalid] in it, or the kernel's errno:
// EPERM without CAP_NET_ADMIN. On other systems than Linux it is errors.ErrUnsupported. Requires at least Linux 5.12.
func Install(p Plan) (*Table, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	t := &Table{encoding: p.Encoding, path: p.Netns}
	if err := inNetns(p.Netns, t.open); err != nil {
		t.Close()
		return nil, fmt.Errorf("rules: %w", err)
	}
	if err := t.install(p); err != nil {
		t.Close()
		return nil, fmt.Errorf("rules: %w", err)
	}
	installed.Store(t, nil)
	return t, nil
}

// inNetns runs fn in the network namespace of path, or where the caller is.
func inNetns(path string, fn func() error) error {
	if path == "" {
		return fn()
	}
	return nlsock.InNetns(path, fn)
}

// open opens what belongs to the network namespace of the calling thread.
func (t *Table) open() error {
	conn, err := dial()
	if err != nil {
		return err
	}
	t.conn = conn
	t.netns = nlsock.OwnNetns()
	// Not having it is no reason to fail: it may be that no program has used a queue yet.
	t.queues, _ = os.Open(queuesPath)
	return nil
}

func dial() (*nftables.Conn, error) {
	// Lasting, because the tables live as long as the socket that made them.
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", explain(err))
	}
	return conn, nil
}

func (t *Table) install(p Plan) error {
	port, err := t.conn.GetPortID()
	if err != nil {
		return err
	}
	if t.encoding == 0 {
		if t.encoding, err = probe(t.conn, port); err != nil {
			return err
		}
	}
	t.name = tableName(port)
	if err := t.put(p.compile(t.encoding, t.name)); err != nil {
		return fmt.Errorf("install table %s: %w", t.name, p.explain(t.encoding, err))
	}
	return nil
}

// tableName is unique in a network namespace, as the port ids of its sockets are. The first socket's is the process id.
func tableName(port uint32) string { return fmt.Sprintf("ipq-%d", port) }

// put installs the tables, after a trial that takes no part in the way of packets.
func (t *Table) put(specs []tableSpec) error {
	trial, err := encoder{conn: t.conn, encoding: t.encoding}.try(specs)
	if err != nil {
		return err
	}
	// The trial goes with the same transaction that brings the tables: conntrack, which both use, stays on.
	for _, table := range trial {
		t.conn.DelTable(table)
	}
	if err := t.add(specs); err != nil {
		return fmt.Errorf("%w (the kernel drops what waits in the queues of the namespace when it takes back base chains)", err)
	}
	return nil
}

// add installs the tables in one transaction.
func (t *Table) add(specs []tableSpec) error {
	t.specs = specs
	e := encoder{conn: t.conn, encoding: t.encoding}
	for _, spec := range specs {
		table, err := e.add(spec)
		if err != nil {
			return err
		}
		t.tables = append(t.tables, table)
	}
	return t.conn.Flush()
}

// Remove makes every chain let packets pass, so that nothing more is queued, waits until every queue of the network
// namespace is empty, and then removes the tables. Keep answering packets meanwhile. It waits until ctx ends, and at
// most one second; when packets are still queued then, the error is [ErrStillQueued]. Where the queues cannot be looked
// at it waits the whole time. The rules are gone in any case; after Remove or Close it does nothing. What other
// programs have queued in the namespace between the last look and the end of Remove, the kernel drops.
func (t *Table) Remove(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return nil
	}
	defer t.close()
	if err := t.replace(pass); err != nil {
		return err
	}
	waiting := t.drain(ctx)
	t.queued, _ = t.count() // 0 then says that it is not known
	for _, table := range t.tables {
		t.conn.DelTable(table)
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("rules: remove table %s: %w", t.name, explain(err))
	}
	if waiting != 0 {
		return fmt.Errorf("rules: table %s is removed, but %w: the kernel has dropped the %d that waited", t.name, ErrStillQueued, waiting)
	}
	return nil
}

// Queued is how many packets the rules have sent to their queues, whatever became of them there: a queue may have been
// full, or without a program. A packet that the kernel cuts for a queue without ipq.FlagGSO counts once, and those that
// came while the table was paused count, too. After Remove it is the last count; after Close alone it is 0. The error is
// the kernel's.
func (t *Table) Queued() (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return t.queued, nil
	}
	return t.count()
}

// count adds the counters of all tables up.
func (t *Table) count() (uint64, error) {
	var sum uint64
	for _, table := range t.tables {
		obj, err := t.conn.GetObject(&nftables.NamedObj{Table: table, Name: queuedCounter, Type: nftables.ObjTypeCounter})
		if err != nil {
			return 0, fmt.Errorf("rules: read the counter of table %s: %w", t.name, explain(err))
		}
		if named, ok := obj.(*nftables.NamedObj); ok {
			if c, ok := named.Obj.(*expr.Counter); ok {
				sum += c.Packets
			}
		}
	}
	return sum, nil
}

// Close removes the rules at once. The kernel then drops every packet that waits in any queue of the network namespace:
// see Remove.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.close()
}

func (t *Table) close() error {
	installed.Delete(t)
	if t.queues != nil {
		t.queues.Close()
		t.queues = nil
	}
	if t.conn == nil {
		return nil
	}
	err := t.conn.CloseLasting()
	t.conn = nil
	return err
}
