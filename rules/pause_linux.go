package rules

import "fmt"

// A duty is what rules do with the packets that they select.
type duty int

const (
	queue duty = iota
	count      // and let them pass
	pass
)

// Pause has the rules accept what they would queue, and count it as before, until Resume. Nothing that waits in a queue is
// lost, because the chains stay: see the package's text on what stopping costs. Another CPU may be in a rule meanwhile:
// keep answering until the queue has been empty for a moment. After Remove or Close it does nothing. The error is the
// kernel's, and the rules are then as they were.
func (t *Table) Pause() error { return t.change(count) }

// Resume has the rules queue again, after Pause.
func (t *Table) Resume() error { return t.change(queue) }

func (t *Table) change(d duty) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return nil
	}
	return t.replace(d)
}

// replace exchanges the rules for others with the same conditions, all in one transaction. So connection tracking, which the
// kernel unhooks with the last rule that uses it, and then flushes every queue of the namespace, stays hooked. mu must be
// held.
func (t *Table) replace(d duty) error {
	e := encoder{conn: t.conn, encoding: t.encoding, duty: d}
	for i, table := range t.tables {
		t.conn.FlushTable(table) // its rules; the chains stay
		if err := e.rules(table, t.specs[i]); err != nil {
			return fmt.Errorf("rules: %w", err)
		}
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("rules: replace the rules of table %s: %w", t.name, explain(err))
	}
	return nil
}
