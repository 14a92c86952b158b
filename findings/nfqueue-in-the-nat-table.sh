#!/bin/sh
# An NFQUEUE rule in the nat table sees other packets than one in the filter table, and packets that its program accepts do
# not reach the nat rules behind it: they leave untranslated.
#
# Versions: Linux 6.18, iptables 1.8.9-2 (legacy), Go 1.26, github.com/florianl/go-nfqueue/v2 v2.0.2.
# Input:    five datagrams of one flow to 127.0.0.1 port 4000, queued at OUTPUT by a rule of the table named, and accepted.
#           In the nat table a DNAT rule to port 5000 stands behind the NFQUEUE rule. The receivers answer, or they do not.
# Expected: five datagrams are queued each time, or only the first where a nat rule is looked at once a connection. What is
#           accepted goes on with the DNAT rule and arrives at port 5000.
# Seen:     "filter, answered: 5 of 5 queued"
#           "nat, answered: 1 of 5 queued, 5 arrived at port 4000 and 0 at port 5000"
#           "nat, unanswered: 5 of 5 queued, 5 arrived at port 4000 and 0 at port 5000"
#           A packet that comes back from the queue has left its table, so the connection is never translated, and while it is
#           unanswered the kernel takes every packet of it for the first.
# Run it as root. It works in network namespaces of its own. It fails when the behaviour changes.
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
	"sync/atomic"
	"time"

	"github.com/florianl/go-nfqueue/v2"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// receive counts what arrives at a port, and answers if asked to.
func receive(address string, answer bool) (arrived *atomic.Int32) {
	arrived = new(atomic.Int32)
	c, err := net.ListenPacket("udp", address)
	must(err)
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if answer {
				c.WriteTo(b[:n], from)
			}
			arrived.Add(1)
		}
	}()
	return arrived
}

func main() {
	table, answered := os.Args[2], os.Args[3] == "answered"
	rules := [][]string{{"-t", table, "-A", "OUTPUT", "-p", "udp", "--dport", "4000", "-j", "NFQUEUE", "--queue-num", "7"}}
	if table == "nat" {
		rules = append(rules, []string{"-t", "nat", "-A", "OUTPUT", "-p", "udp", "--dport", "4000", "-j", "DNAT", "--to", ":5000"})
	}
	for _, rule := range rules {
		if out, err := exec.Command(os.Args[1], rule...).CombinedOutput(); err != nil {
			log.Fatalf("iptables %v: %v: %s", rule, err, out)
		}
	}
	queue, err := nfqueue.Open(&nfqueue.Config{NfQueue: 7, MaxPacketLen: 0xffff, MaxQueueLen: 100, Copymode: nfqueue.NfQnlCopyPacket})
	must(err)
	var queued atomic.Int32
	accept := func(a nfqueue.Attribute) int {
		queued.Add(1)
		queue.SetVerdict(*a.PacketID, nfqueue.NfAccept)
		return 0
	}
	must(queue.RegisterWithErrorFunc(context.Background(), accept, func(error) int { return 0 }))
	first, second := receive("127.0.0.1:4000", answered), receive("127.0.0.1:5000", answered)
	c, err := net.Dial("udp", "127.0.0.1:4000")
	must(err)
	for i := range int32(5) {
		c.Write([]byte("datagram"))
		for end := time.Now().Add(10 * time.Second); first.Load()+second.Load() <= i; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				log.Fatal("a datagram did not arrive")
			}
		}
	}
	fmt.Printf("%s, %s: %d of 5 queued", table, os.Args[3], queued.Load())
	if table == "nat" {
		fmt.Printf(", %d arrived at port 4000 and %d at port 5000", first.Load(), second.Load())
	}
	fmt.Println()
}
GO
go mod init finding 2>/dev/null
go get github.com/florianl/go-nfqueue/v2@v2.0.2 >/dev/null 2>&1
go build -o finding .
run() { timeout 60 unshare -n sh -c 'ip link set lo up; exec "$@"' sh ./finding "$iptables" "$@"; }
{
	run filter answered
	run nat answered
	run nat unanswered
} | tee seen
diff - seen <<'SEEN'
filter, answered: 5 of 5 queued
nat, answered: 1 of 5 queued, 5 arrived at port 4000 and 0 at port 5000
nat, unanswered: 5 of 5 queued, 5 arrived at port 4000 and 0 at port 5000
SEEN
