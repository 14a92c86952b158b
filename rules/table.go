package rules

import (
	"errors"

	"ipq/internal/nlsock"
)

// ErrStillQueued is what errors.Is finds in the error of [Table.Remove] when packets waited in a queue of the namespace
// until its patience was over. The kernel has dropped them.
var ErrStillQueued = errors.New("packets were still queued")

// ErrNetnsReplaced is what errors.Is finds in the error of [Table.CheckNetns] when Plan.Netns names another network
// namespace than the one that the rules are in. It is ipq.ErrNetnsReplaced, too.
var ErrNetnsReplaced = nlsock.ErrNetnsReplaced

// queuedCounter is the name of the counter, in each table, of the packets that its rules have queued.
const queuedCounter = "queued"

// Name is the name of the installed tables, unique in their network namespace.
func (t *Table) Name() string { return t.name }

// Encoding is the one that was used.
func (t *Table) Encoding() Encoding { return t.encoding }

// String is what is installed, in nft's syntax.
func (t *Table) String() string { return text(t.specs) }
