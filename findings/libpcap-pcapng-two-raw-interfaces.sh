#!/bin/sh
# libpcap refuses a pcapng file with two interfaces of LINKTYPE_RAW, and says that their types differ. Two interfaces of
# LINKTYPE_ETHERNET are fine.
#
# Versions: tcpdump 4.99.3-1, libpcap 1.10.3-1, Go 1.26, github.com/google/gopacket v1.1.19 (writes the files).
# Input:    a pcapng file with two interface blocks of one link type and one snap length, and a packet of each.
# Expected: tcpdump prints both packets.
# Seen:     "link type 1, two interfaces: 2 printed", "link type 101, one interface: 1 printed",
#           "link type 101, two interfaces: 0 printed", and tcpdump's error "an interface has a type 101 different from the
#           type of the first interface". tcpdump ends with status 1 before the first packet, wherever the second block is.
#           A program that writes raw IP packets of several queues or devices to one file has to use one interface block.
# Needs no privilege. It fails when the behaviour changes.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
chmod 755 "$dir"
cd "$dir"
for package in tcpdump=4.99.3-1 libpcap0.8=1.10.3-1; do apt-get download -qq "$package" 2>/dev/null; done
for file in ./*.deb; do dpkg -x "$file" root; done
LD_LIBRARY_PATH=$(dirname "$(find "$dir/root" -name 'libpcap.so.0.8')")
export LD_LIBRARY_PATH

cat > main.go <<'GO'
package main

import (
	"log"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// main writes the file os.Args[1] of link type os.Args[2] with os.Args[3] interfaces.
func main() {
	link, err := strconv.Atoi(os.Args[2])
	must(err)
	interfaces, err := strconv.Atoi(os.Args[3])
	must(err)
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}}
	udp := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	must(udp.SetNetworkLayerForChecksum(ip))
	headers := []gopacket.SerializableLayer{ip, udp}
	if layers.LinkType(link) == layers.LinkTypeEthernet {
		ethernet := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}
		headers = append([]gopacket.SerializableLayer{ethernet}, headers...)
	}
	b := gopacket.NewSerializeBuffer()
	must(gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, headers...))

	f, err := os.Create(os.Args[1])
	must(err)
	block := pcapgo.NgInterface{Name: "first", LinkType: layers.LinkType(link), SnapLength: 65535}
	w, err := pcapgo.NewNgWriterInterface(f, block, pcapgo.DefaultNgWriterOptions)
	must(err)
	for i := 1; i < interfaces; i++ {
		block.Name = "next"
		_, err = w.AddInterface(block)
		must(err)
	}
	for i := range interfaces {
		must(w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), InterfaceIndex: i, CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}, b.Bytes()))
	}
	must(w.Flush())
	must(f.Close())
}
GO
go mod init finding 2>/dev/null
go get github.com/google/gopacket/pcapgo@v1.1.19 >/dev/null 2>&1
go build -o finding .
count() {
	./finding file.pcapng "$1" "$2"
	n=$(root/usr/bin/tcpdump -n -r file.pcapng 2>>errors | grep -c '192.0.2.1' || true)
	echo "link type $1, $3: $n printed"
}
{
	count 1 2 'two interfaces'
	count 101 1 'one interface'
	count 101 2 'two interfaces'
} | tee seen
grep 'different' errors
grep -qx 'link type 1, two interfaces: 2 printed' seen
grep -qx 'link type 101, one interface: 1 printed' seen
grep -qx 'link type 101, two interfaces: 0 printed' seen
grep -q 'an interface has a type 101 different from the type of the first interface' errors
