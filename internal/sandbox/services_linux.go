package sandbox

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// services answer the requests of exchanges and remember which arrived. The
// kernel answers pings; a raw socket sees them.
type services struct {
	mu      sync.Mutex
	arrived map[request]bool
	open    map[io.Closer]bool // nil once closed
	running sync.WaitGroup
}

// request is one request that arrived.
type request struct {
	protocol Protocol
	name     string
}

// serve starts the services of a host.
func (h *Host) serve() (*services, error) {
	s := &services{arrived: make(map[request]bool), open: make(map[io.Closer]bool)}
	for _, a := range []netip.Addr{h.IPv4, h.IPv6} {
		if !a.IsValid() {
			continue
		}
		network, kind := "ip4:icmp", byte(8)
		if a.Is6() {
			network, kind = "ip6:ipv6-icmp", 128
		}
		pings, err := h.listenIP(network, a)
		if err == nil {
			s.start(pings, func() { s.pings(pings, kind) })
			err = h.Do(func() error {
				udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: a.AsSlice(), Port: 53})
				if err != nil {
					return err
				}
				s.start(udp, func() { s.dns(udp, &nameServer{h.IPv4, h.IPv6}) })
				tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: a.AsSlice(), Port: 80})
				if err != nil {
					return err
				}
				s.start(tcp, func() { s.accept(tcp) })
				return nil
			})
		}
		if err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// start runs a service until its socket is closed.
func (s *services) start(c io.Closer, service func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		c.Close()
		return
	}
	s.open[c] = true
	s.running.Go(func() {
		service()
		c.Close()
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	})
}

func (s *services) close() {
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.open = nil
	s.mu.Unlock()
	s.running.Wait()
}

func (s *services) note(p Protocol, name string) {
	s.mu.Lock()
	s.arrived[request{p, name}] = true
	s.mu.Unlock()
}

// seen reports whether a request arrived. The router, which has no services,
// sees none.
func (s *services) seen(p Protocol, name string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived[request{p, name}]
}

func (s *services) pings(conn *net.IPConn, kind byte) {
	buf := make([]byte, 65536)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if n >= 8 && buf[0] == kind {
			s.note(ICMP, string(buf[8:n]))
		}
	}
}

func (s *services) dns(conn *net.UDPConn, names *nameServer) {
	buf := make([]byte, 65536)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		response, name, err := names.respond(buf[:n])
		if err != nil {
			continue
		}
		if name != "" {
			s.note(DNS, name)
		}
		conn.WriteToUDPAddrPort(response, from) // lost or not is what the exchange shows
	}
}

func (s *services) accept(l *net.TCPListener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.start(conn, func() { s.http(conn) })
	}
}

// http answers one request: with the name that it asked for.
func (s *services) http(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(io.LimitReader(conn, 64<<10))
	line, err := r.ReadString('\n')
	if err != nil {
		return
	}
	for {
		header, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if header == "\r\n" {
			break
		}
	}
	f := strings.Fields(line)
	if len(f) != 3 || f[0] != "GET" {
		return
	}
	name := strings.TrimPrefix(f[1], "/")
	s.note(HTTP, name)
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(name), name)
}
