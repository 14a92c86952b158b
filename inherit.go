package ipq

import (
	"ipq/internal/nlsock"
	"ipq/internal/wire"
)

// inheritance is what the former owner of an adopted socket (Config.File) has left: a queue that was bound already, and in
// it packets that he received and did not answer. Nobody will ever say what they are, so Config.Default answers them: in
// front of the first packet that is received, because the kernel numbers packets in order, and in Drain.
type inheritance struct {
	open  bool   // it has not been dealt with
	first uint64 // sequence number of the first packet that is ours; 0 before there is one
}

// settleInheritance answers what has an id up to last.
func (q *Queue) settleInheritance(last uint32) error {
	q.inherited = inheritance{first: extend(q.last, last) + 1}
	s := &q.sender
	s.mu.Lock()
	defer s.mu.Unlock()
	var v nlsock.Vector
	v.Add(wire.AppendVerdictBatch(nil, s.queue, q.cfg.Default.kernel(), last, false, 0))
	return sendPatiently(s.conn, &v)
}
