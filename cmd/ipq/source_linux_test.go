package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"ipq/internal/filter"
	"ipq/internal/sandbox"
)

// BenchmarkWatchLength is what watchLength was chosen by: the share of packets that pass unseen with queues of several
// lengths, in bursts of 256 datagrams and while 8 connections send as fast as they can.
func BenchmarkWatchLength(b *testing.B) {
	sandbox.Setup(b, 1)
	for _, length := range []uint32{32, 64, 128, 256, 512, 1024, 4096} {
		for _, traffic := range []struct {
			name, filter string
			send         func(testing.TB)
		}{{"bursts", "udp", sendBursts}, {"tcp", "tcp", sendStreams}} {
			b.Run(fmt.Sprintf("%d/%s", length, traffic.name), func(b *testing.B) {
				f, err := filter.Parse(traffic.filter)
				if err != nil {
					b.Fatal(err)
				}
				s, err := openSource(f, watchOptions{}, length)
				if err != nil {
					b.Fatal(err)
				}
				v := newStream(io.Discard, watchOptions{numeric: true}, f, func() {})
				served := make(chan error, 1)
				go func() { served <- s.group.ServeEach(context.Background(), v.handler) }()
				for b.Loop() {
					traffic.send(b)
				}
				if err := s.stop(); err != nil {
					b.Error(err)
				}
				if err := s.finish(served); err != nil {
					b.Error(err)
				}
				v.rest(s)
				if err := v.end(nil); err != nil {
					b.Error(err)
				}
				b.ReportMetric(100*float64(v.tally.Lost)/float64(max(v.tally.packets(), 1)), "%unseen")
			})
		}
	}
}

// sendBursts sends 50 bursts with a pause between.
func sendBursts(t testing.TB) {
	s, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 50 {
		for range 256 {
			if _, err := s.WriteTo(make([]byte, 100), s.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sendStreams sends 32 MiB over each of 8 connections at the same time.
func sendStreams(t testing.TB) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var all sync.WaitGroup
	for range 8 {
		out, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Addr().(*net.TCPAddr).Port)))
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() { io.Copy(io.Discard, in); in.Close() })
		all.Go(func() {
			buf := make([]byte, 64<<10)
			for range 512 {
				if _, err := out.Write(buf); err != nil {
					t.Error(err)
					break
				}
			}
			out.Close()
		})
	}
	all.Wait()
}
