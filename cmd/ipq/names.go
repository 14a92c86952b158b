package main

import (
	"net/netip"
	"os"
	"strconv"
	"strings"

	"ipq/packet"
)

// names turns addresses and ports into names, unless Numeric. They come from
// /etc/hosts and /etc/services alone, never from the DNS: a question for each
// address would be slow, would tell a stranger who is watched, and would be
// packets to watch.
type names struct {
	Numeric bool // -n

	loaded   bool
	hosts    map[netip.Addr]string
	services map[namedPort]string
}

// namedPort is what a line of /etc/services names.
type namedPort struct {
	protocol packet.Protocol
	port     uint16
}

func (n *names) appendAddr(b []byte, a netip.Addr) []byte {
	if name, ok := n.table().hosts[a]; ok {
		return append(b, name...)
	}
	return a.AppendTo(b)
}

func (n *names) appendPort(b []byte, p packet.Protocol, port uint16) []byte {
	if name, ok := n.table().services[namedPort{p, port}]; ok {
		return append(b, name...)
	}
	return strconv.AppendUint(b, uint64(port), 10)
}

// table reads the files of names, at the first name that is asked for.
func (n *names) table() *names {
	if !n.loaded && !n.Numeric {
		hosts, _ := os.ReadFile("/etc/hosts") // without the file there are no names
		services, _ := os.ReadFile("/etc/services")
		n.hosts, n.services = parseHosts(string(hosts)), parseServices(string(services))
	}
	n.loaded = true
	return n
}

// fieldsOf splits a line of /etc/hosts or /etc/services, without its comment.
func fieldsOf(line string) []string {
	line, _, _ = strings.Cut(line, "#")
	return strings.Fields(line)
}

// parseHosts reads hosts(5). The first name of an address counts.
func parseHosts(text string) map[netip.Addr]string {
	hosts := make(map[netip.Addr]string)
	for line := range strings.Lines(text) {
		fields := fieldsOf(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		if _, ok := hosts[addr]; !ok {
			hosts[addr] = printable(fields[1])
		}
	}
	return hosts
}

// parseServices reads services(5). The first name of a port counts.
func parseServices(text string) map[namedPort]string {
	protocols := map[string]packet.Protocol{"tcp": packet.TCP, "udp": packet.UDP, "sctp": packet.SCTP}
	services := make(map[namedPort]string)
	for line := range strings.Lines(text) {
		fields := fieldsOf(line)
		if len(fields) < 2 {
			continue
		}
		number, protocol, _ := strings.Cut(fields[1], "/")
		port, err := strconv.ParseUint(number, 10, 16)
		p, ok := protocols[protocol]
		if err != nil || !ok {
			continue
		}
		key := namedPort{p, uint16(port)}
		if _, ok := services[key]; !ok {
			services[key] = printable(fields[0])
		}
	}
	return services
}
