#!/bin/sh
# tcpdump that captures from an NFQUEUE queue (-i nfqueue:N) and gives up its privileges, as Debian's does unless told
# otherwise, stops the traffic: it prints every packet, and the kernel refuses every verdict.
#
# Versions: Linux 6.18, tcpdump 4.99.3-1, libpcap 1.10.3-1, iptables 1.8.9-2 (legacy).
# Input:    an OUTPUT rule queues echo requests, "tcpdump -i nfqueue:7" shows them, ping sends three.
# Seen:     "-Z nobody: printed 3, received 0" and "-Z root: printed 3, received 3".
#           The kernel checks CAP_NET_ADMIN for each verdict, not only when the queue is bound. libpcap does not read the
#           error, so tcpdump says nothing, and the packets wait in the queue until it ends.
# Run it as root. It works in a network namespace of its own. It fails when the behaviour changes.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cd "$dir"
for package in tcpdump=4.99.3-1 libpcap0.8=1.10.3-1 iptables=1.8.9-2 libxtables12=1.8.9-2 libip4tc2=1.8.9-2 libip6tc2=1.8.9-2; do
	apt-get download -qq "$package" 2>/dev/null
done
for file in ./*.deb; do dpkg -x "$file" root; done
lib=$(dirname "$(find "$dir/root" -name 'libxtables.so.12')")
export LD_LIBRARY_PATH="$lib" XTABLES_LIBDIR="$lib/xtables"

cat > run.sh <<'EOS'
ip link set lo up
root/usr/sbin/iptables-legacy -A OUTPUT -p icmp --icmp-type echo-request -j NFQUEUE --queue-num 7
timeout 30 root/usr/bin/tcpdump -n -l -c 3 -Z "$1" -i nfqueue:7 icmp >"printed-$1" 2>"errors-$1" &
until grep -q "listening on" "errors-$1" 2>/dev/null; do sleep 0.1; done
received=$(ping -c 3 -i 0.2 -W 1 127.0.0.1 | sed -n 's/.* \([0-9]*\) received.*/\1/p')
wait
echo "-Z $1: printed $(grep -c 'ICMP echo request' "printed-$1"), received $received"
EOS
{
	timeout 60 unshare -n sh run.sh nobody
	timeout 60 unshare -n sh run.sh root
} | tee seen
grep -qx -e '-Z nobody: printed 3, received 0' seen
grep -qx -e '-Z root: printed 3, received 3' seen
