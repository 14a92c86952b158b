package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// checkRewritten has a few packets delivered by the running reader, and fails unless each arrives with its payload
// rewritten. A packet that a reader has replaced has its checksum verified by the kernel: a wrong one does not arrive.
func (a *arena) checkRewritten() error {
	rules := queueUDP(1)
	rules.deliver = true
	if err := a.apply(rules); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	timeout := unix.NsecToTimeval(int64(time.Second))
	if err := errors.Join(unix.Bind(fd, targetSockaddr()), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)); err != nil {
		return err
	}
	g, err := newGenerator(target, 1)
	if err != nil {
		return err
	}
	defer g.close()
	const packets = 10
	if err := g.send(packets); err != nil {
		return err
	}
	for i := range packets {
		var packet [udpPayload + 1]byte
		n, err := unix.Read(fd, packet[:])
		if err != nil {
			return fmt.Errorf("%d of %d rewritten packets arrived: their checksums were wrong (%w)", i, packets, err)
		}
		if n != udpPayload || !bytes.HasPrefix(packet[:], []byte(rewritten)) {
			return fmt.Errorf("packet %d arrived with %d bytes that begin %q", i, n, packet[:len(rewritten)])
		}
	}
	return nil
}
