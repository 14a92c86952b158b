#!/bin/sh
# The segments of a UDP train (UDP_SEGMENT) that begins a tracked connection are lost, all but one, when their verdicts
# come in another order than the packets. Every verdict is ACCEPT, every verdict succeeds, and no counter moves.
#
# Versions: Linux 6.18, iptables 1.8.9-2 (legacy), Go 1.26, github.com/florianl/go-nfqueue/v2 v2.0.2.
# Input:    ten datagrams of 100 bytes, sent by one sendto with UDP_SEGMENT 100. An OUTPUT rule queues them, and another
#           rule turns connection tracking on. The queue has no NFQA_CFG_F_GSO, so that the kernel takes the train apart
#           and queues ten packets. The program accepts all of them: in order, or the last one first.
# Expected: ten datagrams arrive either way, as they do without connection tracking.
# Seen:     "tracked, in order: 10 of 10 arrived", "tracked, last one first: 1 of 10 arrived",
#           "untracked, last one first: 10 of 10 arrived".
#           The ten packets share one connection, which is confirmed when the first of them has passed its last hook.
# Run it as root. It works in a network namespace of its own. It fails when the behaviour changes.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
chmod 755 "$dir"
cd "$dir"
for package in iptables=1.8.9-2 libxtables12=1.8.9-2 libip4tc2=1.8.9-2 libip6tc2=1.8.9-2; do
	apt-get download -qq "$package" 2>/dev/null
done
for file in ./*.deb; do dpkg -x "$file" root; done
lib=$(dirname "$(find "$dir/root" -name 'libxtables.so.12')")
export LD_LIBRARY_PATH="$lib" XTABLES_LIBDIR="$lib/xtables"
iptables="$dir/root/usr/sbin/iptables-legacy"

cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/florianl/go-nfqueue/v2"
)

const (
	segments   = 10
	udpSegment = 103 // UDP_SEGMENT of linux/udp.h
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	tracked, reversed := os.Args[2] == "tracked", os.Args[3] != "in order"
	rules := [][]string{{"-A", "OUTPUT", "-p", "udp", "-j", "NFQUEUE", "--queue-num", "7"}}
	if tracked {
		rules = append(rules, []string{"-A", "FORWARD", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT"})
	}
	for _, rule := range rules {
		out, err := exec.Command(os.Args[1], rule...).CombinedOutput()
		if err != nil {
			log.Fatalf("iptables %v: %v: %s", rule, err, out)
		}
	}
	queue, err := nfqueue.Open(&nfqueue.Config{NfQueue: 7, MaxPacketLen: 0xffff, MaxQueueLen: 100, Copymode: nfqueue.NfQnlCopyPacket})
	must(err)
	ids := make(chan uint32, segments)
	must(queue.RegisterWithErrorFunc(context.Background(), func(a nfqueue.Attribute) int { ids <- *a.PacketID; return 0 },
		func(err error) int { log.Print(err); return 0 }))

	receiver, err := net.ListenPacket("udp", "127.0.0.1:4000")
	must(err)
	sender, err := net.Dial("udp", "127.0.0.1:4000")
	must(err)
	raw, err := sender.(*net.UDPConn).SyscallConn()
	must(err)
	must(raw.Control(func(fd uintptr) {
		must(syscall.SetsockoptInt(int(fd), syscall.IPPROTO_UDP, udpSegment, 100))
	}))
	_, err = sender.Write(make([]byte, 100*segments))
	must(err)

	var queued []uint32
	for range segments {
		select {
		case id := <-ids:
			queued = append(queued, id)
		case <-time.After(10 * time.Second):
			log.Fatalf("%d packets queued, not %d", len(queued), segments)
		}
	}
	if reversed {
		slices.Reverse(queued)
	}
	for _, id := range queued {
		must(queue.SetVerdict(id, nfqueue.NfAccept))
	}
	arrived, b := 0, make([]byte, 2000)
	for {
		receiver.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, _, err := receiver.ReadFrom(b); err != nil {
			break
		}
		arrived++
	}
	fmt.Printf("%s, %s: %d of %d arrived\n", os.Args[2], os.Args[3], arrived, segments)
}
GO
go mod init finding 2>/dev/null
go get github.com/florianl/go-nfqueue/v2@v2.0.2 >/dev/null 2>&1
go build -o finding .
run() { timeout 60 unshare -n sh -c 'ip link set lo up; exec "$@"' sh ./finding "$iptables" "$@"; }
{
	run tracked 'in order'
	run tracked 'last one first'
	run untracked 'last one first'
} | tee seen
grep -qx 'tracked, in order: 10 of 10 arrived' seen
grep -qx 'tracked, last one first: 1 of 10 arrived' seen
grep -qx 'untracked, last one first: 10 of 10 arrived' seen
