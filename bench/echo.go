package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An echo sends packets to a process that sends them back. Neither end tells Go's scheduler of its system calls: the
// scheduler's own wake-ups would be part of the measurement.
type echo struct {
	fd       int
	far      *exec.Cmd
	sequence uint64
}

// newEcho starts the far end, on the given cores.
func newEcho(cores []int) (*echo, error) {
	far := exec.Command("/proc/self/exe", "echo")
	out, err := far.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(far, cores); err != nil {
		return nil, err
	}
	e := &echo{fd: -1, far: far}
	var ready string
	if _, err := fmt.Fscanln(out, &ready); err != nil {
		e.close()
		return nil, fmt.Errorf("starting the far end of a round trip: %w", err)
	}
	timeout := unix.NsecToTimeval(int64(lostAfter))
	if e.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		err = errors.Join(unix.Connect(e.fd, targetSockaddr()), unix.SetsockoptTimeval(e.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout))
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func targetSockaddr() unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}
}

func (e *echo) close() {
	unix.Close(e.fd)
	e.far.Process.Kill()
	e.far.Wait()
}

// run makes n round trips and returns the microseconds each took, and how many were lost.
func (e *echo) run(n int) (took []float64, lost int, err error) {
	took = make([]float64, 0, n)
	var packet [udpPayload]byte
	for range n {
		e.sequence++
		binary.NativeEndian.PutUint64(packet[:], e.sequence)
		began := time.Now()
		if _, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(e.fd), uintptr(unsafe.Pointer(&packet[0])), udpPayload); errno != 0 {
			return nil, 0, errno
		}
		back, err := e.receive()
		if err != nil {
			return nil, 0, err
		}
		if back {
			took = append(took, float64(time.Since(began).Nanoseconds())/1000)
		} else {
			lost++
		}
	}
	return took, lost, nil
}

// receive waits for the packet sent last, and reports whether it came.
func (e *echo) receive() (bool, error) {
	var packet [udpPayload]byte
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(e.fd), uintptr(unsafe.Pointer(&packet[0])), udpPayload)
		switch errno {
		case 0:
			if binary.NativeEndian.Uint64(packet[:]) == e.sequence {
				return true, nil
			}
		case unix.EAGAIN:
			return false, nil
		case unix.EINTR:
		default:
			return false, errno
		}
	}
}

// runEcho is the process of the far end, which is killed when it is no longer wanted.
func runEcho() error {
	runtime.LockOSThread()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, targetSockaddr()); err != nil {
		return err
	}
	fmt.Println("ready")
	var packet [udpPayload]byte
	var from unix.RawSockaddrInet4
	for {
		size := uint32(unix.SizeofSockaddrInet4)
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&packet[0])), udpPayload, 0, uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
		if errno == 0 {
			_, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&packet[0])), n, 0, uintptr(unsafe.Pointer(&from)), uintptr(size))
		}
		if errno != 0 && errno != unix.EINTR {
			return errno
		}
	}
}
