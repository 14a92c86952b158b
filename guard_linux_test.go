package ipq

import (
	"testing"
	"time"

	"ipq/internal/nlsock"
)

// The timer is put off by a send when half of its time is over, and not before: each time is a system call. So it never goes
// off where handlers are fast.
func TestGuardIsPutOff(t *testing.T) {
	alarm, err := nlsock.NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer alarm.Close()
	g := &guard{alarm: alarm}
	due := func() time.Duration { return time.Duration(g.due.Load()) }
	if g.sent(sinceEpoch()); due() != 0 {
		t.Errorf("a send has armed it for %v", due())
	}
	g.arm()
	first := due()
	if g.sent(first - maxDelay); due() != first {
		t.Errorf("put off by %v at the start", due()-first)
	}
	late := first - maxDelay/4
	if g.sent(late); due() != late+maxDelay {
		t.Errorf("due at %v, want %v", due(), late+maxDelay)
	}
	if g.arm(); due() != late+maxDelay {
		t.Error("an answer has put it off: the one before would wait for longer")
	}
}
