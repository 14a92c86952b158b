package main

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"ipq"
)

// flood counts what comes through the queue while a worker sends all it can.
func (b *benchmark) flood(turn time.Duration) (v benchValues, err error) {
	sink, err := newSink(sinkPort)
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	out, err := newSender(sinkPort)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	q, err := b.serve(ipq.Config{}, smallPackets, acceptAll)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.stop()) }()
	w, err := startWorker(workFlood, turn, out)
	if err != nil {
		return nil, err
	}
	defer w.kill()

	if err := q.passes(0); err != nil {
		return nil, err
	}
	time.Sleep(turn / 4)
	before, lostBefore, _ := q.counts()
	began := time.Now()
	time.Sleep(turn * 3 / 4)
	if err := q.passes(before); err != nil { // on a busy machine the reader may not have run yet
		return nil, err
	}
	passed, lost, known := q.counts()
	wall := time.Since(began)
	passed, lost = passed-before, lost-lostBefore
	v = benchValues{"packets_per_second": passed / wall.Seconds()}
	if known {
		v["lost_percent"] = 100 * lost / (lost + passed)
	}
	return v, nil
}

// passes waits until more than so many packets have been accepted.
func (q *benchQueue) passes(before float64) error {
	for deadline := time.Now().Add(lostAfter); ; time.Sleep(time.Millisecond) {
		if n, _, _ := q.counts(); n > before {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no packet came through the queue within %v", lostAfter)
		}
	}
}

// sendPackets sends small packets until it is killed, many with each system call.
func sendPackets(fd int) error {
	if err := keepToLastCore(); err != nil {
		return err
	}
	// message is the kernel's struct mmsghdr.
	type message struct {
		header unix.Msghdr
		length uint32
	}
	payload := make([]byte, smallPayload)
	piece := unix.Iovec{Base: &payload[0]}
	piece.SetLen(len(payload))
	messages := make([]message, 64)
	for i := range messages {
		messages[i].header.Iov = &piece
		messages[i].header.SetIovlen(1)
	}
	for {
		// Raw: the scheduler would have a second thread take over from this one each time, on the reader's core.
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), 0, 0, 0)
		if errno != 0 && errno != unix.EINTR && errno != unix.ENOBUFS {
			return os.NewSyscallError("sendmmsg", errno)
		}
	}
}
