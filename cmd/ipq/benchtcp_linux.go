package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"ipq"
	"ipq/rules"
)

// streamPort is where the TCP connection goes.
const streamPort = 4002

// streamCongestion is the connection's congestion control. BBR, the default of some machines, bounds what is in flight by the
// shortest round trip that it has seen, and over a link without length that holds a queued connection back more than its
// reader does.
const streamCongestion = "reno"

// streamChunk is read, and written, with each system call.
const streamChunk = 256 << 10

func (b *benchmark) tcpNotQueued(turn time.Duration) (benchValues, error) {
	return b.stream(turn)
}

func (b *benchmark) tcpQueued(turn time.Duration) (v benchValues, err error) {
	q, err := b.serve(ipq.Config{Flags: ipq.FlagGSO}, rules.Match{
		Family:    rules.IPv4,
		Protocols: []rules.Protocol{rules.TCP},
		DstPorts:  []rules.PortRange{rules.Port(streamPort)},
		In:        []string{b.net.Hosts[0].Link},
	}, acceptAll)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.stop()) }()
	if v, err = b.stream(turn); err != nil {
		return nil, err
	}
	if accepted, lost, known := q.counts(); known {
		v["lost_percent"] = 100 * lost / (lost + accepted)
	}
	return v, nil
}

// stream has one worker send from the host on the other end of the link, and another one receive here.
func (b *benchmark) stream(turn time.Duration) (benchValues, error) {
	here, there, err := b.connect()
	if err != nil {
		return nil, err
	}
	defer here.Close()
	defer there.Close()
	sender, err := startWorker(workSend, turn, there)
	if err != nil {
		return nil, err
	}
	defer sender.kill()
	receiver, err := startWorker(workReceive, turn, here)
	if err != nil {
		return nil, err
	}
	return receiver.result()
}

// connect makes a TCP connection from the host to here.
func (b *benchmark) connect() (here, there *os.File, err error) {
	to := &unix.SockaddrInet4{Addr: b.net.Router.IPv4.As4(), Port: streamPort}
	timeout := unix.NsecToTimeval(int64(lostAfter))
	listener, err := openSocket(unix.SOCK_STREAM, "listener", func(fd int) error {
		return errors.Join(
			os.NewSyscallError("setsockopt(SO_REUSEADDR)", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)),
			os.NewSyscallError("setsockopt(SO_RCVTIMEO)", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)),
			os.NewSyscallError("bind", unix.Bind(fd, to)),
			os.NewSyscallError("listen", unix.Listen(fd, 1)),
		)
	})
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	err = b.net.Hosts[0].Do(func() error {
		there, err = openSocket(unix.SOCK_STREAM, "connection", func(fd int) error {
			return errors.Join(
				os.NewSyscallError("setsockopt(TCP_CONGESTION)", unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, streamCongestion)),
				os.NewSyscallError("setsockopt(SO_SNDTIMEO)", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)),
				os.NewSyscallError("connect", unix.Connect(fd, to)),
			)
		})
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("no connection through the queue: %w", err)
	}
	// What is accepted inherits the timeout.
	fd, _, err := unix.Accept4(int(listener.Fd()), unix.SOCK_CLOEXEC)
	if err != nil {
		there.Close()
		return nil, nil, os.NewSyscallError("accept", err)
	}
	return os.NewFile(uintptr(fd), "connection"), there, nil
}

// sendStream writes until nobody reads any more.
func sendStream(fd int) error {
	chunk := make([]byte, streamChunk)
	for {
		if _, err := unix.Write(fd, chunk); err != nil && err != unix.EINTR {
			return os.NewSyscallError("write", err)
		}
	}
}

// receiveStream counts what arrives when the connection has got going.
func receiveStream(fd int, turn time.Duration) (benchValues, error) {
	chunk := make([]byte, streamChunk)
	var bytes int
	var began, end time.Time
	warm := time.Now().Add(turn / 4)
	for {
		n, err := unix.Read(fd, chunk)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the connection has stalled: %w", os.NewSyscallError("read", err))
		}
		if n == 0 {
			return nil, errors.New("the connection was closed by its sender")
		}
		now := time.Now()
		switch {
		case now.Before(warm):
		case began.IsZero():
			began = now
			end = now.Add(turn * 3 / 4)
		default:
			bytes += n
			if now.After(end) {
				return benchValues{"gbit_per_second": float64(bytes) * 8 / float64(now.Sub(began).Nanoseconds())}, nil
			}
		}
	}
}
