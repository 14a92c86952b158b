package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ipq"
)

func (b *benchmark) roundTripNotQueued(turn time.Duration) (benchValues, error) {
	return roundTrip(turn, nil)
}

// roundTripOneCore has everything on one core, one after the other.
func (b *benchmark) roundTripOneCore(turn time.Duration) (benchValues, error) {
	cores := usableCores()
	return b.roundTripQueued(ipq.Config{}, turn, cores[max(0, len(cores)-1):])
}

// roundTripTwoCores has the reader away from the core of the traffic: each packet wakes it up.
func (b *benchmark) roundTripTwoCores(turn time.Duration) (benchValues, error) {
	cores := usableCores()
	return b.roundTripQueued(ipq.Config{}, turn, cores[:max(0, len(cores)-1)])
}

// busyPoll is longer than a packet is on its way, so that the reader never sleeps.
const busyPoll = 100 * time.Microsecond

func (b *benchmark) roundTripBusyPoll(turn time.Duration) (benchValues, error) {
	cores := usableCores()
	return b.roundTripQueued(ipq.Config{BusyPoll: busyPoll}, turn, cores[:max(0, len(cores)-1)])
}

func (b *benchmark) roundTripQueued(config ipq.Config, turn time.Duration, cores []int) (v benchValues, err error) {
	q, err := b.serve(config, smallPackets, acceptAll)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.stop()) }()
	return roundTrip(turn, cores)
}

// roundTrip has one worker send packets, through the queue, and another one send each back, past it. Both are on the last
// core. This process is on cores, if there are any.
func roundTrip(turn time.Duration, cores []int) (v benchValues, err error) {
	here, there, err := newEchoPair()
	if err != nil {
		return nil, err
	}
	defer here.Close()
	defer there.Close()
	echo, err := startWorker(workEcho, turn, there)
	if err != nil {
		return nil, err
	}
	defer echo.kill()
	w, err := startWorker(workRoundTrip, turn, here)
	if err != nil {
		return nil, err
	}
	undo, err := keepTo(cores)
	defer func() { err = errors.Join(err, undo()) }()
	if err != nil {
		w.kill()
		return nil, err
	}
	return w.result()
}

// roundTrips sends one packet after the other. It does so without a word to Go's scheduler, whose own work would be part
// of the measurement.
func roundTrips(fd int, turn time.Duration) (benchValues, error) {
	if err := keepToLastCore(); err != nil {
		return nil, err
	}
	var took []float64
	var packet [smallPayload]byte
	start := time.Now()
	for n := uint64(1); len(took) == 0 || time.Since(start) < turn; n++ {
		binary.NativeEndian.PutUint64(packet[:], n)
		began := time.Now()
		if err := raw(unix.SYS_WRITE, fd, packet[:]); err != nil {
			return nil, err
		}
		for again := true; again; again = binary.NativeEndian.Uint64(packet[:]) != n {
			if err := raw(unix.SYS_READ, fd, packet[:]); err == unix.EAGAIN {
				return nil, fmt.Errorf("a packet did not come back within %v", lostAfter)
			} else if err != nil {
				return nil, err
			}
		}
		if now := time.Now(); now.Sub(start) > turn/4 {
			took = append(took, float64(now.Sub(began).Nanoseconds())/1000)
		}
	}
	slices.Sort(took)
	at := func(percent int) float64 { return took[len(took)*percent/100] }
	return benchValues{"median_us": at(50), "p90_us": at(90), "p99_us": at(99)}, nil
}

// sendBack sends every packet back until it is killed.
func sendBack(fd int) error {
	if err := keepToLastCore(); err != nil {
		return err
	}
	var packet [smallPayload]byte
	for {
		err := raw(unix.SYS_READ, fd, packet[:])
		if err == nil {
			err = raw(unix.SYS_WRITE, fd, packet[:])
		}
		if err != nil && err != unix.EAGAIN {
			return err
		}
	}
}

// raw makes a system call that the scheduler does not hear of.
func raw(call uintptr, fd int, b []byte) error {
	for {
		_, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}
