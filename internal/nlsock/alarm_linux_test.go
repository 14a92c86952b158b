package nlsock_test

import (
	"testing"
	"time"

	"ipq/internal/nlsock"
)

func newAlarm(t *testing.T) (a *nlsock.Alarm, gone chan error) {
	t.Helper()
	a, err := nlsock.NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	gone = make(chan error, 1)
	go func() {
		for {
			err := a.Wait()
			gone <- err
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { a.Close() })
	return a, gone
}

// An alarm goes off once for each time that it was set and not put off, and no earlier than it was set for.
func TestAlarm(t *testing.T) {
	put, putGone := newAlarm(t)
	put.Set(10 * time.Millisecond)
	put.Set(time.Hour)

	other, otherGone := newAlarm(t)
	for range 2 {
		began := time.Now()
		other.Set(20 * time.Millisecond)
		if err := <-otherGone; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 20*time.Millisecond {
			t.Errorf("it went off after %v", took)
		}
	}
	select {
	case err := <-putGone:
		t.Errorf("it went off (%v) although it was put off", err)
	default:
	}
	put.Close()
	if err := <-putGone; err == nil {
		t.Error("Wait returned nil after Close")
	}
}
