package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// work is what a reader does with each packet.
type work string

const (
	accept    work = "accept"
	alternate work = "alternate" // accept and drop in turn
	mark      work = "mark"      // accept with mark 1 and 2 in turn
	rewrite   work = "rewrite"   // accept with the UDP payload's start replaced, checksums right
	hold      work = "hold"      // accept from another goroutine, packets held until then
)

// rewritten is what a rewriting reader puts at the start of every UDP payload.
const rewritten = "rewritten"

// settings are what the harness tells a reader, as key=value words on its command line.
type settings struct {
	queue    uint16        // the first, or only, queue
	queues   uint16        // how many it reads; more than one is for ipq
	maxlen   uint32        // packets the kernel may hold
	rcvbuf   int           // bytes of socket buffer asked for
	gso      bool          // ask for GSO packets whole
	work     work          // "" is accept
	allocate bool          // allocate heavily beside (Go readers)
	busypoll time.Duration // spin for that long before blocking (ipq)
	threads  int           // of which the second one answers (limit)
	cores    []int         // which the reader may use; nil is all. Set by the harness, not by a word
}

func (s settings) words() []string {
	gso := 0
	if s.gso {
		gso = 1
	}
	if s.work == "" {
		s.work = accept
	}
	w := []string{
		fmt.Sprint("queue=", s.queue), fmt.Sprint("maxlen=", s.maxlen), fmt.Sprint("rcvbuf=", s.rcvbuf),
		fmt.Sprint("gso=", gso), "work=" + string(s.work),
	}
	if s.queues > 1 {
		w = append(w, fmt.Sprint("queues=", s.queues))
	}
	if s.allocate {
		w = append(w, "allocate=1")
	}
	if s.threads > 1 {
		w = append(w, fmt.Sprint("threads=", s.threads))
	}
	if s.busypoll > 0 {
		w = append(w, fmt.Sprint("busypoll=", s.busypoll.Nanoseconds()))
	}
	return w
}

func parseSettings(words []string) (settings, error) {
	s := settings{queues: 1}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		if key == "work" {
			s.work = work(value)
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return s, fmt.Errorf("setting %q: %w", word, err)
		}
		switch key {
		case "queue":
			s.queue = uint16(n)
		case "queues":
			s.queues = uint16(n)
		case "maxlen":
			s.maxlen = uint32(n)
		case "rcvbuf":
			s.rcvbuf = n
		case "gso":
			s.gso = n != 0
		case "allocate":
			s.allocate = n != 0
		case "busypoll":
			s.busypoll = time.Duration(n)
		default:
			return s, fmt.Errorf("unknown setting %q", word)
		}
	}
	return s, nil
}
