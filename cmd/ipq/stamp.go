package main

import (
	"fmt"
	"time"
)

// stamp prints the time of a line as the flag -t, given that many times, says.
type stamp struct {
	Form stampForm

	first, last time.Time
}

// stampForm is how many times -t was given.
type stampForm int

const (
	stampClock stampForm = iota // 12:00:01.123456, local time
	stampNone                   // -t
	stampEpoch                  // -tt: seconds since 1970
	stampDelta                  // -ttt: since the line before
	stampDate                   // -tttt: with the date
	stampSince                  // -ttttt: since the first line
)

func (s *stamp) append(b []byte, at time.Time) []byte {
	if s.first.IsZero() {
		s.first, s.last = at, at
	}
	switch s.Form {
	case stampNone:
		return b
	case stampEpoch:
		b = fmt.Appendf(b, "%d.%06d", at.Unix(), at.Nanosecond()/1000)
	case stampDelta:
		b = appendDelta(b, at.Sub(s.last))
	case stampDate:
		b = at.Local().AppendFormat(b, "2006-01-02 15:04:05.000000")
	case stampSince:
		b = appendDelta(b, at.Sub(s.first))
	default:
		b = at.Local().AppendFormat(b, "15:04:05.000000")
	}
	s.last = at
	return append(b, ' ')
}

// appendDelta appends a difference in time, which is negative when packets were
// stamped in another order than they came.
func appendDelta(b []byte, d time.Duration) []byte {
	sign := byte(' ')
	if d < 0 {
		sign, d = '-', -d
	}
	us := d.Microseconds()
	s := us / 1e6
	return fmt.Appendf(append(b, sign), "%02d:%02d:%02d.%06d", s/3600, s/60%60, s%60, us%1e6)
}
