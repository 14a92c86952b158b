package main

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ipq/rules"
)

// The UDP ports that bench sends to, on lo.
const (
	sinkPort = 4000 // what arrives is thrown away
	echoPort = 4001 // what arrives is read
	backPort = 4003 // where it is sent back to: these packets are not queued
)

// smallPayload makes a packet of 100 bytes.
const smallPayload = 72

// lostAfter is when a packet that has not arrived will not.
const lostAfter = 2 * time.Second

// smallPackets are those that are queued.
var smallPackets = rules.Match{
	Family:    rules.IPv4,
	Protocols: []rules.Protocol{rules.UDP},
	DstPorts:  []rules.PortRange{{First: sinkPort, Last: echoPort}},
}

// newSink opens a socket that takes packets on a port and throws them away, at the same cost for each. Without one the
// kernel would answer every packet with an ICMP message.
func newSink(port int) (*os.File, error) {
	return openSocket(unix.SOCK_DGRAM, "sink", func(fd int) error {
		all := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &all}); err != nil {
			return os.NewSyscallError("setsockopt(SO_ATTACH_FILTER)", err)
		}
		return os.NewSyscallError("bind", unix.Bind(fd, loopback(port)))
	})
}

// newReceiver opens a socket that takes packets on a port. A read fails after lostAfter.
func newReceiver(port int) (*os.File, error) {
	return openSocket(unix.SOCK_DGRAM, "receiver", func(fd int) error {
		timeout := unix.NsecToTimeval(int64(lostAfter))
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return os.NewSyscallError("setsockopt(SO_RCVTIMEO)", err)
		}
		return os.NewSyscallError("bind", unix.Bind(fd, loopback(port)))
	})
}

// newSender opens a socket that sends packets to a port.
func newSender(port int) (*os.File, error) {
	return openSocket(unix.SOCK_DGRAM, "sender", func(fd int) error {
		return os.NewSyscallError("connect", unix.Connect(fd, loopback(port)))
	})
}

// newEchoPair opens two sockets that send to each other: from here there to echoPort, back to backPort.
func newEchoPair() (here, there *os.File, err error) {
	if there, err = newReceiver(echoPort); err != nil {
		return nil, nil, err
	}
	if here, err = newReceiver(backPort); err != nil {
		there.Close()
		return nil, nil, err
	}
	err = errors.Join(unix.Connect(int(here.Fd()), loopback(echoPort)), unix.Connect(int(there.Fd()), loopback(backPort)))
	if err != nil {
		here.Close()
		there.Close()
		return nil, nil, os.NewSyscallError("connect", err)
	}
	return here, there, nil
}

func loopback(port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}
}

// openSocket makes an IPv4 socket that blocks: the runtime's poller would be measured, too.
func openSocket(kind int, name string, prepare func(fd int) error) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := prepare(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
