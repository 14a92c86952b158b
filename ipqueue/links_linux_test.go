package ipqueue_test

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"ipq/internal/sandbox"
	"ipq/ipqueue"
)

// An interface goes down when it is set down or taken away, and at no other time:
// not when it is made, gets an address or joins a bridge, although it is not up.
// The handler may read of that when it is up and has packets.
func TestLinkChanges(t *testing.T) {
	sandbox.RequireNamespaces(t)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		t.Fatal(err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "bridge"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(bridge)
	var changes []ipqueue.LinkChange
	read := func() {
		for b := make([]byte, 64<<10); ; {
			n, _, err := unix.Recvfrom(fd, b, 0)
			if err != nil {
				return
			}
			changes = append(changes, ipqueue.ParseLinks(b[:n])...)
		}
	}
	read()
	port := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "port"}, PeerName: "end"}
	if err := netlink.LinkAdd(port); err != nil {
		t.Fatal(err)
	}
	index := uint32(link(t, "port").Attrs().Index)
	for _, step := range []struct {
		name string
		do   func() error
		down bool
	}{
		{"made", func() error { return nil }, false},
		{"given an address", func() error { return netlink.LinkSetHardwareAddr(port, []byte{2, 0, 0, 0, 0, 1}) }, false},
		{"put into a bridge", func() error { return netlink.LinkSetMaster(port, bridge) }, false},
		{"set up", func() error { return netlink.LinkSetUp(port) }, false},
		{"set down", func() error { return netlink.LinkSetDown(port) }, true},
		{"set up again", func() error { return netlink.LinkSetUp(port) }, false},
		{"taken away", func() error { return netlink.LinkDel(port) }, true},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		changes = changes[:0]
		read()
		if down := slices.Contains(changes, ipqueue.LinkChange{Index: index, Down: true}); down != step.down {
			t.Errorf("%s: down is %v, want %v: %+v", step.name, down, step.down, changes)
		}
		if !slices.ContainsFunc(changes, func(c ipqueue.LinkChange) bool { return c.Index == index }) {
			t.Errorf("%s: nothing is said of it: %+v", step.name, changes)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 15), make([]byte, 16), append([]byte{16, 0, 0, 0, unix.RTM_NEWLINK}, make([]byte, 11)...), append([]byte{255, 0, 0, 0, unix.RTM_NEWLINK}, make([]byte, 60)...)} {
		if got := ipqueue.ParseLinks(b); got != nil {
			t.Errorf("% x says %+v", b, got)
		}
	}
}
