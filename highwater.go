package ipq

import "time"

// Where a queue counts as filling up, and as having got over it.
const (
	highWater = 0.75
	lowWater  = 0.5
)

// lookEvery is how often the receive loop looks how full the queue is, if the program wants to know: it reads a file.
const lookEvery = 10 * time.Millisecond

// gauge is what the receive loop remembers of how full the queue was.
type gauge struct {
	next time.Duration // when to look again, since epoch
	high bool
}

// measure tells Config.OnHighWater when the queue, or the socket's buffer, begins to fill up. held is how many packets
// the program holds.
func (q *Queue) measure(now time.Duration, held int) {
	g := &q.gauge
	if q.cfg.OnHighWater == nil || now < g.next && (g.high || !fills(held, q.cfg.maxLen())) {
		return
	}
	g.next = now + lookEvery
	waiting := held
	if row, known := q.tableRow(); known {
		waiting = int(row.Waiting)
	}
	used, size := q.conn.Backlog()
	switch full := max(share(waiting, q.cfg.maxLen()), share(used, size)); {
	case full >= highWater && !g.high:
		g.high = true
		q.cfg.OnHighWater(full)
	case full < lowWater:
		g.high = false
	}
}

func fills(n, most int) bool { return share(n, most) >= highWater }

func share(n, most int) float64 {
	if most == 0 {
		return 0
	}
	return float64(n) / float64(most)
}
