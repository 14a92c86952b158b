package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"ipq"
	"ipq/internal/filter"
	"ipq/packet"
)

// A stream shows packets as rows, and never makes one wait: rows are written by
// another goroutine, and those that come while too many wait are only counted.
// Otherwise a terminal that is slow would stop the host's network, and one that
// is reached through it would stop for ever.
type stream struct {
	filter  *filter.Filter
	format  format
	max     uint64 // rows to show; 0 is no bound
	enough  func() // called when they have been
	lines   lines
	records records

	mu      sync.Mutex
	headers packet.Headers
	rows    []byte // to be written
	more    *sync.Cond
	ended   bool
	broken  error // of the writer
	hidden  uint64
	flushed uint64 // of the accepted, those that the kernel had dropped
	tally   tally

	w        io.Writer
	progress chan struct{} // has a value when some bytes were written, for end
	written  chan struct{} // closed when the writer has ended
}

const (
	maxRows = 16 << 20 // bytes of rows that may wait to be written
	chunk   = 1 << 10  // bytes that are written at once: a serial line takes them well within unreadFor
)

func newStream(w io.Writer, o watchOptions, f *filter.Filter, enough func()) *stream {
	v := &stream{
		filter: f, format: o.format, max: o.count, enough: enough, w: w,
		progress: make(chan struct{}, 1), written: make(chan struct{}),
		lines:   lines{Names: names{Numeric: o.numeric}, Verbose: o.verbose, Hex: o.hex, Stamp: stamp{Form: stampForm(o.stamp)}},
		records: records{Hex: o.hex},
	}
	v.more = sync.NewCond(&v.mu)
	go v.write()
	return v
}

// handler accepts the packets of a queue and shows those that the filter wants.
func (v *stream) handler(q *ipq.Queue) ipq.Handler {
	return func(p *ipq.Packet) ipq.Verdict {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.ended || v.max > 0 && v.tally.Accepted == v.max {
			return ipq.Accept
		}
		v.headers.Parse(p.Payload)
		if !v.filter.Match(&v.headers) {
			return ipq.Accept
		}
		v.tally.Accepted++
		if v.tally.Accepted == v.max {
			v.enough()
		}
		if len(v.rows) > maxRows {
			v.hidden++
			return ipq.Accept
		}
		v.show(q, p)
		return ipq.Accept
	}
}

// show adds the row of a packet. mu must be held.
func (v *stream) show(q *ipq.Queue, p *ipq.Packet) {
	v.flushHidden()
	e := newEvent(q.Number(), p, ipq.Accept, false)
	if v.format == formatJSON {
		v.rows = v.records.packet(v.rows, &e)
	} else {
		v.rows = v.lines.packet(v.rows, &e)
	}
	v.more.Signal()
}

// lost adds the row of a loss, if there is one.
func (v *stream) lost(c lossCount) {
	if c == (lossCount{}) {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.loss(loss{
		Time: time.Now(), QueueDropped: uint64(c.queue), UserDropped: uint64(c.buffer), Flushed: c.flushed,
		Unseen: c.unseen, Stopped: c.stopped,
	})
}

// loss adds the row of a loss. mu must be held.
func (v *stream) loss(l loss) {
	v.tally.Lost += l.lost()
	v.flushed += l.Flushed
	if v.format == formatJSON {
		v.rows = v.records.loss(v.rows, &l)
	} else {
		v.rows = v.lines.loss(v.rows, &l)
	}
	v.more.Signal()
}

// flushHidden adds the row of the packets that were not shown, when there is
// room for rows again. mu must be held.
func (v *stream) flushHidden() {
	if v.hidden > 0 {
		v.loss(loss{Time: time.Now(), Hidden: v.hidden})
		v.hidden = 0
	}
}

// write writes rows until the stream ends.
func (v *stream) write() {
	defer close(v.written)
	var rows []byte
	for {
		v.mu.Lock()
		for len(v.rows) == 0 && !v.ended {
			v.more.Wait()
		}
		rows, v.rows = v.rows, rows[:0]
		ended := v.ended
		v.mu.Unlock()
		if err := v.writeOut(rows); err != nil {
			v.mu.Lock()
			v.broken = err
			v.ended = true
			v.mu.Unlock()
			v.enough()
			return
		}
		if ended {
			return
		}
	}
}

// writeOut writes rows piece by piece, so that end sees whether they are read.
func (v *stream) writeOut(rows []byte) error {
	for len(rows) > 0 {
		n, err := v.w.Write(rows[:min(chunk, len(rows))])
		if err != nil {
			return err
		}
		rows = rows[n:]
		select {
		case v.progress <- struct{}{}:
		default:
		}
	}
	return nil
}

// watchLosses shows what is lost, and obeys the shell that stops this process, until ctx ends or Serve does.
func (v *stream) watchLosses(ctx context.Context, s *source, j *jobControl, served chan error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			served <- nil // for the one that waits for it to have ended
			return err
		case signal := <-j.stops:
			if j.stale(signal) {
				break
			}
			if err := v.stop(ctx, s, j, signal); err != nil {
				return err
			}
		case <-j.continued: // by whoever stopped it with a signal that it cannot take
		case <-tick.C:
			v.losses(s)
		}
	}
}

// stop has packets pass as long as this process is stopped, and shows how many did.
func (v *stream) stop(ctx context.Context, s *source, j *jobControl, signal os.Signal) error {
	v.losses(s) // for other reasons
	if err := s.pause(ctx); err != nil {
		return fmt.Errorf("not stopped, because the packets would wait: %w", err)
	}
	if ctx.Err() == nil {
		j.stop(signal)
	}
	c, err := s.resume()
	v.lost(c)
	return err
}

// losses shows what was lost since the last time.
func (v *stream) losses(s *source) { v.lost(s.since(false)) }

// rest shows, when the queues are closed, what has not been shown of the losses.
func (v *stream) rest(s *source) {
	c, known := s.rest()
	v.lost(c)
	v.mu.Lock()
	v.tally.LostUnknown = !known
	v.mu.Unlock()
}

// end writes what is left, and the last line. When the user wants the command to end, it waits no longer than there is
// progress.
func (v *stream) end(wanted <-chan struct{}) error {
	v.mu.Lock()
	v.flushHidden()
	v.tally.Accepted -= min(v.flushed, v.tally.Accepted)
	if v.format == formatJSON {
		v.rows = v.records.end(v.rows, time.Now(), v.tally)
	} else {
		v.rows = fmt.Appendln(v.rows, v.tally)
	}
	v.ended = true
	v.more.Signal()
	v.mu.Unlock()
	select {
	case <-v.written:
	case <-wanted:
		if !v.drains() {
			return errors.New("the output is not read: not all rows were written")
		}
	}
	if v.broken != nil {
		return fmt.Errorf("write the packets: %w", v.broken)
	}
	return nil
}

// drains waits for the writer to end, and reports false when the rows are not read.
func (v *stream) drains() bool {
	for {
		select {
		case <-v.written:
			return true
		case <-v.progress:
		case <-time.After(unreadFor):
			return false
		}
	}
}
