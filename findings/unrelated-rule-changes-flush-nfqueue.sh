#!/bin/sh
# Changes of the rules that have nothing to do with a queue drop every packet that waits in any NFQUEUE queue of the
# network namespace: deleting the last rule that uses connection tracking, and even "nft -c", which only checks.
#
# Versions: Linux 6.18, iptables 1.8.9-2 (legacy), nftables 1.0.6-2+deb12u2, Go 1.26,
#           github.com/florianl/go-nfqueue/v2 v2.0.2.
# Input:    a program holds three datagrams that an INPUT rule has queued. Then one command is run, and the program reads
#           how many packets still wait from /proc/net/netfilter/nfnetlink_queue.
# Expected: three, as after "delete a -m mark rule" and "nft -c a table without a base chain".
# Seen:     "delete a -m mark rule: 3 of 3 wait on"
#           "delete the last -m conntrack rule: 0 of 3 wait on" (a FORWARD rule, which no packet meets)
#           "nft -c a table without a base chain: 3 of 3 wait on"
#           "nft -c a table with a base chain: 0 of 3 wait on" (on the forward hook; nothing is installed)
#           Whenever a netfilter hook is unregistered, the kernel flushes all queues of the namespace
#           (nf_queue_nf_hook_drop). Connection tracking unregisters its hooks with its last user. A check registers the
#           hook of the base chain, and unregisters it. No counter of the queue shows the loss.
# Run it as root. It works in network namespaces of its own. It fails when the behaviour changes.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
chmod 755 "$dir"
cd "$dir"
for package in iptables=1.8.9-2 libxtables12=1.8.9-2 libip4tc2=1.8.9-2 libip6tc2=1.8.9-2 \
	nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 libmnl0=1.0.4-3 libjansson4=2.14-2 libedit2=3.1-20221030-2; do
	apt-get download -qq "$package" 2>/dev/null
done
for file in ./*.deb; do dpkg -x "$file" root; done
lib=$(dirname "$(find "$dir/root" -name 'libxtables.so.12')")
export LD_LIBRARY_PATH="$lib" XTABLES_LIBDIR="$lib/xtables" PATH="$dir/root/usr/sbin:$PATH"

cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/florianl/go-nfqueue/v2"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func run(command string) {
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		log.Fatalf("%s: %v: %s", command, err, out)
	}
}

// main holds three datagrams, runs the command os.Args[2], and prints how many datagrams still wait under the name os.Args[1].
func main() {
	run("iptables-legacy -A INPUT -p udp -j NFQUEUE --queue-num 7")
	queue, err := nfqueue.Open(&nfqueue.Config{NfQueue: 7, MaxPacketLen: 0xffff, MaxQueueLen: 100, Copymode: nfqueue.NfQnlCopyPacket})
	must(err)
	held := make(chan struct{}, 100)
	keep := func(nfqueue.Attribute) int { held <- struct{}{}; return 0 }
	must(queue.RegisterWithErrorFunc(context.Background(), keep, func(error) int { return 0 }))
	conn, err := net.Dial("udp", "127.0.0.1:4000")
	must(err)
	for range 3 {
		conn.Write([]byte("held"))
		select {
		case <-held:
		case <-time.After(10 * time.Second):
			log.Fatal("the datagram was not queued")
		}
	}
	run(os.Args[2])
	table, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
	must(err)
	fmt.Printf("%s: %s of 3 wait on\n", os.Args[1], strings.Fields(string(table))[2])
}
GO
go mod init finding 2>/dev/null
go get github.com/florianl/go-nfqueue/v2@v2.0.2 >/dev/null 2>&1
go build -o finding .
# try NAME PREPARATION COMMAND
try() { timeout 60 unshare -n sh -c 'ip link set lo up; eval "$2"; exec ./finding "$1" "$3"' sh "$@"; }
{
	try 'delete a -m mark rule' \
		'iptables-legacy -A FORWARD -m mark --mark 1 -j ACCEPT' 'iptables-legacy -D FORWARD 1'
	try 'delete the last -m conntrack rule' \
		'iptables-legacy -A FORWARD -m conntrack --ctstate NEW -j ACCEPT' 'iptables-legacy -D FORWARD 1'
	try 'nft -c a table without a base chain' \
		true 'echo "table ip checked { chain c { accept; }; }" | nft -c -f -'
	try 'nft -c a table with a base chain' \
		true 'echo "table ip checked { chain c { type filter hook forward priority 0; accept; }; }" | nft -c -f -'
} | tee seen
diff - seen <<'SEEN'
delete a -m mark rule: 3 of 3 wait on
delete the last -m conntrack rule: 0 of 3 wait on
nft -c a table without a base chain: 3 of 3 wait on
nft -c a table with a base chain: 0 of 3 wait on
SEEN
