package main

import (
	"context"
	"errors"
	"fmt"

	"ipq"
	"ipq/rules"
)

// benchQueueLength is how many packets may wait: what a firewall in front of a busy host would take.
const benchQueueLength = 4096

// benchQueue is a queue that is measured, with its rule and a plain Serve.
type benchQueue struct {
	*ipq.Queue
	table  *rules.Table
	cancel context.CancelFunc
	served chan error
}

func acceptAll(*ipq.Packet) ipq.Verdict { return ipq.Accept }

// serve begins to queue what arrives here and matches, and to call h with it.
func (b *benchmark) serve(config ipq.Config, match rules.Match, h ipq.Handler) (*benchQueue, error) {
	config.MaxLen = benchQueueLength
	queue, err := ipq.Open(config)
	if err != nil {
		return nil, unableError(fmt.Errorf("%w (ipq doctor says what this machine lacks)", err))
	}
	b.report.buffer = queue.RecvBuffer()
	table, err := rules.Install(rules.Plan{
		Target:   rules.Target{Queue: config.Queue},
		Chains:   []rules.Chain{{Hook: rules.Input, Match: []rules.Match{match}}},
		Encoding: b.encoding,
	})
	if err != nil {
		queue.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	q := &benchQueue{Queue: queue, table: table, cancel: cancel, served: make(chan error, 1)}
	go func() { q.served <- queue.Serve(ctx, h) }()
	return q, nil
}

// stop ends the queueing. The traffic has ended before.
func (q *benchQueue) stop() error {
	err := q.table.Remove(context.Background())
	q.cancel()
	if serveErr := <-q.served; !errors.Is(serveErr, context.Canceled) {
		err = errors.Join(err, serveErr)
	}
	return errors.Join(err, q.Close())
}

// counts returns how many packets were accepted, and how many the kernel has dropped because the queue, or its buffer, was
// full; known is false where that cannot be read.
func (q *benchQueue) counts() (accepted, lost float64, known bool) {
	s := q.Stats()
	if s.Kernel == nil {
		return float64(s.Accepted), 0, false
	}
	return float64(s.Accepted), float64(s.Kernel.QueueDropped) + float64(s.Kernel.UserDropped), true
}
