package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
)

const (
	// drainPackets wait where the socket's buffer holds so many. An ordinary user's holds what net.core.rmem_max allows.
	drainPackets = 4000
	// bytesWaiting is what the kernel accounts for a small packet that waits in the buffer, and some more.
	bytesWaiting = 1024
)

// drainer lets packets gather behind a first one, whose call of the handler it holds up.
type drainer struct {
	queue     *benchQueue
	armed     atomic.Bool   // the next packet is held up
	held      chan struct{} // it is
	release   chan struct{}
	out, last *os.File // where packets are sent; where the last one, the end of a fill, is sent
	in        *os.File // where the last one arrives
	number    byte     // of the fill, which the last packet carries
	dropped   uint32   // by the kernel, so far
}

// errFull is what fill returns when the packets did not fit the queue's buffer.
var errFull = errors.New("the packets do not fit the queue")

// drain lets packets wait, and takes the time and the CPU time that it takes to accept them: all of what the reader and
// the kernel do for it, and nothing of what the sender does.
func (b *benchmark) drain(turn time.Duration) (v benchValues, err error) {
	sink, err := newSink(sinkPort)
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	d := &drainer{held: make(chan struct{}, 1), release: make(chan struct{}, 1)}
	if d.in, err = newReceiver(echoPort); err != nil {
		return nil, err
	}
	defer d.in.Close()
	if d.out, err = newSender(sinkPort); err != nil {
		return nil, err
	}
	defer d.out.Close()
	if d.last, err = newSender(echoPort); err != nil {
		return nil, err
	}
	defer d.last.Close()
	if d.queue, err = b.serve(ipq.Config{}, smallPackets, d.hold); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.queue.stop()) }()

	n := min(drainPackets, 2*d.queue.RecvBuffer()/bytesWaiting)
	var packets, cpu, wall float64
	began := time.Now()
	for fill := 0; fill < 2 || time.Since(began) < turn; fill++ {
		c, w, err := d.fill(n)
		if errors.Is(err, errFull) && n > 2 { // what a packet takes there differs between machines
			n, fill = n/2, -1
			continue
		}
		if err != nil {
			return nil, err
		}
		if fill == 0 {
			continue // memory that is touched for the first time costs as much as hundreds of packets
		}
		packets, cpu, wall = packets+float64(n), cpu+float64(c), wall+float64(w)
	}
	return benchValues{
		"waiting":            float64(n),
		"cpu_ns_per_packet":  cpu / packets,
		"packets_per_second": packets / wall * 1e9,
	}, nil
}

func (d *drainer) hold(*ipq.Packet) ipq.Verdict {
	if d.armed.Load() && d.armed.CompareAndSwap(true, false) {
		d.held <- struct{}{}
		<-d.release
	}
	return ipq.Accept
}

// fill lets n packets wait, and returns what it took to accept them.
func (d *drainer) fill(n int) (cpu, wall time.Duration, err error) {
	release := sync.OnceFunc(func() { d.release <- struct{}{} })
	defer release() // or the queue could not be stopped
	payload := make([]byte, smallPayload)
	d.number++
	payload[0] = d.number
	d.armed.Store(true)
	if _, err := d.out.Write(payload); err != nil {
		return 0, 0, err
	}
	select {
	case <-d.held:
	case <-time.After(lostAfter):
		return 0, 0, errors.New("a packet did not come through the queue")
	}
	for i := range n - 1 {
		out := d.out
		if i == n-2 {
			out = d.last
		}
		if _, err := out.Write(payload); err != nil {
			return 0, 0, err
		}
	}
	if err := d.gathered(n); err != nil {
		release()
		return 0, 0, errors.Join(err, d.gathered(0))
	}
	began, before := time.Now(), processTime()
	release()
	// Answers are carried out in the order of the packets: when the last one arrives, all have.
	for payload[0] = 0; payload[0] != d.number; {
		if _, err := d.in.Read(payload); err != nil {
			return 0, 0, fmt.Errorf("the last of %d packets did not come through the queue: %w", n, err)
		}
	}
	return processTime() - before, time.Since(began), nil
}

// gathered waits until n packets are in the queue. The error is errFull when the kernel has dropped some.
func (d *drainer) gathered(n int) error {
	for deadline := time.Now().Add(lostAfter); ; time.Sleep(50 * time.Microsecond) {
		k := d.queue.Stats().Kernel
		if k == nil {
			return errors.New("the kernel's table of queues cannot be read")
		}
		if dropped := k.QueueDropped + k.UserDropped; dropped != d.dropped {
			d.dropped = dropped
			return errFull
		}
		if int(k.Waiting) == n {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d packets wait in the queue, not %d", k.Waiting, n)
		}
	}
}

// processTime is the CPU time of all threads of this process.
func processTime() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // since Linux 2.6.12
	return time.Duration(t.Nano())
}
