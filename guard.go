package ipq

import (
	"sync/atomic"
	"time"

	"ipq/internal/nlsock"
)

// maxDelay is the longest that an answer waits for others to leave with.
const maxDelay = time.Millisecond

// A guard sends answers that have waited for maxDelay, because the handler that was called next is slow. Whoever leaves
// an answer behind arms it; whoever sends puts it off, so that it never goes off where handlers are fast.
type guard struct {
	alarm *nlsock.Alarm
	due   atomic.Int64 // when it goes off, in nanoseconds since epoch; 0 while it is not armed
}

func (g *guard) init(q *Queue) (err error) {
	if g.alarm, err = nlsock.NewAlarm(); err != nil {
		return err
	}
	go func() {
		for g.alarm.Wait() == nil {
			// Disarmed first: an answer added after this arms the guard again, one added before is sent here.
			g.due.Store(0)
			q.flushBeside()
		}
	}()
	return nil
}

// arm makes sure that an answer given just now leaves within maxDelay.
func (g *guard) arm() {
	if g.due.Load() == 0 && g.due.CompareAndSwap(0, int64(sinceEpoch()+maxDelay)) {
		g.alarm.Set(maxDelay)
	}
}

// sent notes that every answer given before now has been sent. It waits until half of the time is over before it puts the
// alarm off, because that is a system call.
func (g *guard) sent(now time.Duration) {
	due := g.due.Load()
	if due != 0 && time.Duration(due)-now < maxDelay/2 && g.due.CompareAndSwap(due, int64(now+maxDelay)) {
		// Counted from then, not from the end of the sending: an answer may have been given meanwhile.
		g.alarm.Set(max(now+maxDelay-sinceEpoch(), 1))
	}
}

func (g *guard) stop() { g.alarm.Close() }

var epoch = time.Now()

// sinceEpoch is the monotonic clock.
func sinceEpoch() time.Duration { return time.Since(epoch) }
