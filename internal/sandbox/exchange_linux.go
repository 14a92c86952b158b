package sandbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// Protocol is the kind of an exchange.
type Protocol uint8

const (
	ICMP Protocol = iota // echo request and reply: two packets
	HTTP                 // GET request and reply, over TCP to port 80: ten packets or so
	DNS                  // A or AAAA query and response, over UDP to port 53: two packets
)

// String returns "icmp", "http" or "dns".
func (p Protocol) String() string { return [...]string{"icmp", "http", "dns"}[p] }

// exchangeTimeout is for an exchange that states none; nothing on the way
// takes any time, so only a packet that was not delivered uses it up.
const exchangeTimeout = 2 * time.Second

// Exchange is one request from a host to another, with its answer.
type Exchange struct {
	Protocol Protocol
	From, To *Host
	IPv6     bool
	// Name is carried by the request: in the data of an echo, as the path of a
	// GET, as the name of a query (so of letters, digits, hyphens and dots, at
	// most 63 bytes between two dots). Distinct names tell exchanges apart.
	Name string
	// Timeout is how long to wait for the whole exchange; 0 is two seconds.
	Timeout time.Duration
}

// Result is how an exchange ended.
type Result struct {
	Arrived  bool   // the other host has seen the request
	Answered bool   // its answer has come back
	Answer   string // what it says: the echoed name, the body, or the address
}

// Do sends the request and waits for its answer. That nothing arrived, or no
// answer came, is no error but the result.
func (e Exchange) Do() (Result, error) {
	if e.Timeout == 0 {
		e.Timeout = exchangeTimeout
	}
	deadline := time.Now().Add(e.Timeout)
	from, to := e.From.IPv4, e.To.IPv4
	if e.IPv6 {
		from, to = e.From.IPv6, e.To.IPv6
	}
	if !from.IsValid() || !to.IsValid() {
		return Result{}, errors.New("sandbox: this kernel has no IPv6")
	}
	send := map[Protocol]func(from, to netip.Addr, name string, deadline time.Time) (string, error){
		ICMP: e.From.ping, HTTP: e.From.get, DNS: e.From.query,
	}[e.Protocol]
	answer, err := send(from, to, e.Name, deadline)
	var timeout net.Error
	switch {
	case err == nil:
		return Result{Arrived: true, Answered: true, Answer: answer}, nil
	case errors.As(err, &timeout) && timeout.Timeout():
		return Result{Arrived: e.To.services.seen(e.Protocol, e.Name)}, nil
	}
	return Result{}, fmt.Errorf("sandbox: %s from %s to %s: %w", e.Protocol, from, to, err)
}

// echoID tells the echo requests of this process apart.
var echoID atomic.Uint32

// ping sends an echo request. Raw sockets, because those for ping need a
// setting that not every machine has.
func (h *Host) ping(from, to netip.Addr, name string, deadline time.Time) (string, error) {
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	conn, err := h.listenIP(network, from)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(deadline)
	message := append([]byte{request, 0, 0, 0, 0, 0, 0, 1}, name...)
	binary.BigEndian.PutUint16(message[4:], uint16(echoID.Add(1)))
	if to.Is4() { // the kernel fills in that of ICMPv6
		binary.BigEndian.PutUint16(message[2:], checksum(message))
	}
	if _, err := conn.WriteTo(message, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return "", err
	}
	buf := make([]byte, 65536)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return "", err
		}
		if n >= 8 && buf[0] == reply && bytes.Equal(buf[4:8], message[4:8]) {
			return string(buf[8:n]), nil
		}
	}
}

func (h *Host) listenIP(network string, local netip.Addr) (conn *net.IPConn, err error) {
	err = h.Do(func() error {
		conn, err = net.ListenIP(network, &net.IPAddr{IP: local.AsSlice()})
		return err
	})
	return conn, err
}

// checksum is the Internet checksum of a message whose own field is zero.
func checksum(b []byte) uint16 {
	var sum uint32
	for i, c := range b {
		sum += uint32(c) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func (h *Host) get(from, to netip.Addr, name string, deadline time.Time) (string, error) {
	conn, err := h.dial("tcp", from, netip.AddrPortFrom(to, 80), deadline)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name, netip.AddrPortFrom(to, 80)); err != nil {
		return "", err
	}
	reply, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	head, body, ok := strings.Cut(string(reply), "\r\n\r\n")
	if !ok || !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		return "", fmt.Errorf("no HTTP reply: %q", reply)
	}
	return body, nil
}

func (h *Host) query(from, to netip.Addr, name string, deadline time.Time) (string, error) {
	conn, err := h.dial("udp", from, netip.AddrPortFrom(to, 53), deadline)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	query, err := appendQuery(uint16(echoID.Add(1)), name, to.Is6())
	if err != nil {
		return "", err
	}
	if _, err := conn.Write(query); err != nil {
		return "", err
	}
	buf := make([]byte, 1500)
	n, err := conn.Read(buf)
	if err != nil {
		return "", err
	}
	addr, err := answerOf(buf[:n], name)
	if err != nil {
		return "", err
	}
	return addr.String(), nil
}

func (h *Host) dial(network string, from netip.Addr, to netip.AddrPort, deadline time.Time) (conn net.Conn, err error) {
	d := net.Dialer{Deadline: deadline}
	if network == "tcp" {
		d.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	} else {
		d.LocalAddr = &net.UDPAddr{IP: from.AsSlice()}
	}
	err = h.Do(func() error {
		conn, err = d.Dial(network, to.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(deadline)
}
