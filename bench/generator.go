package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// packetSize is the length of every generated packet from its IP header on: 100 bytes, 72 of them UDP payload.
const packetSize, udpPayload = 100, 72

// trainLength is how many packets of a flood the kernel is handed at once.
const trainLength = 32

// A generator sends small UDP packets as fast as one core can, or at a pace. It belongs to one goroutine.
type generator struct {
	fd   int
	msgs []mmsghdr
	iov  *unix.Iovec // the payload of each
}

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

const sendBatch = 64

// newGenerator sends to addresses in a row from the target's on: a queue balanced by address needs more than one.
func newGenerator(to netip.AddrPort, addresses int) (*generator, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	payload := make([]byte, udpPayload)
	iov := &unix.Iovec{Base: &payload[0]}
	iov.SetLen(len(payload))
	g := &generator{fd: fd, msgs: make([]mmsghdr, sendBatch), iov: iov}
	names := make([]unix.RawSockaddrInet4, addresses)
	address := to.Addr()
	for i := range names {
		names[i] = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: address.As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&names[i].Port))[:], to.Port())
		address = address.Next()
	}
	for i := range g.msgs {
		h := &g.msgs[i].hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&names[i%addresses])), unix.SizeofSockaddrInet4
		h.Iov = iov
		h.SetIovlen(1)
	}
	return g, nil
}

func (g *generator) close() { unix.Close(g.fd) }

// send sends n packets, or as many trains.
func (g *generator) send(n int) error {
	for n > 0 {
		// Raw: the scheduler would have a second thread take over from this one each time, on the reader's core.
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(g.fd), uintptr(unsafe.Pointer(&g.msgs[0])), uintptr(min(n, len(g.msgs))), 0, 0, 0)
		if errno != 0 && errno != unix.EINTR {
			return fmt.Errorf("sending: %w", errno)
		}
		if errno == 0 {
			n -= int(sent)
		}
	}
	return nil
}

// pace sends n packets, one every interval by the clock.
func (g *generator) pace(n int, interval time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var next unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &next); err != nil {
		return err
	}
	for range n {
		next = unix.NsecToTimespec(next.Nano() + int64(interval))
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &next, nil) == unix.EINTR {
		}
		if err := g.send(1); err != nil {
			return err
		}
	}
	return nil
}

// inTrains has each message carry the payloads of trainLength packets. The kernel takes them apart just before it queues
// them, for readers that have not asked for trains (GSO). One by one, a packet takes the generator's core longer than it
// takes most readers, and all floods are alike.
func (g *generator) inTrains() error {
	if err := unix.SetsockoptInt(g.fd, unix.SOL_UDP, unix.UDP_SEGMENT, udpPayload); err != nil {
		return fmt.Errorf("UDP_SEGMENT: %w", err)
	}
	payload := make([]byte, trainLength*udpPayload)
	g.iov.Base = &payload[0]
	g.iov.SetLen(len(payload))
	return nil
}

// flood sends from one core, the machine's last, until stop is called, which waits for it.
func (g *generator) flood() (stop func() error, err error) {
	if err := g.inTrains(); err != nil {
		return nil, err
	}
	var stopped atomic.Bool
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its affinity with it
		err := pinThread(lastCore())
		for err == nil && !stopped.Load() {
			err = g.send(sendBatch)
		}
		done <- err
	}()
	return func() error {
		stopped.Store(true)
		return <-done
	}, nil
}

// cores are those this process may use.
var cores = usableCores()

func firstCore() int { return cores[0] }
func lastCore() int  { return cores[len(cores)-1] }

func usableCores() []int {
	var set unix.CPUSet
	var usable []int
	if unix.SchedGetaffinity(0, &set) != nil {
		return []int{0}
	}
	for c := range 1024 {
		if set.IsSet(c) {
			usable = append(usable, c)
		}
	}
	return usable
}

// pinThread keeps the calling thread, which the caller has locked, on one core.
func pinThread(core int) error {
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pinning to core %d: %w", core, err)
	}
	return nil
}
