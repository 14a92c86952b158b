//go:build ignore

// A reader on github.com/chifflier/nfqueue-go, the cgo binding that Debian packages. It is not part of the
// harness's module: the harness copies it beside the package's source and builds it there.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/chifflier/nfqueue-go/nfqueue"
)

var (
	packets                    atomic.Uint64
	queue, maxlen, rcvbuf, gso int
	work                       string
)

func answer(p *nfqueue.Payload) int {
	n := packets.Add(1)
	switch {
	case work == "mark":
		p.SetVerdictMark(nfqueue.NF_ACCEPT, uint32(1+n&1))
	case work == "alternate" && n&1 == 0:
		p.SetVerdict(nfqueue.NF_DROP)
	default:
		p.SetVerdict(nfqueue.NF_ACCEPT)
	}
	return 0
}

// enlarge finds the binding's socket, which it keeps to itself, and gives it the room all readers get.
func enlarge() {
	const soProtocol, soRcvbufForce, netlinkNetfilter = 0x26, 0x21, 12
	for fd := 3; fd < 64; fd++ {
		if p, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, soProtocol); err != nil || p != netlinkNetfilter {
			continue
		}
		if syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soRcvbufForce, rcvbuf) != nil {
			syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, rcvbuf)
		}
		return
	}
	fatal("no netlink socket found")
}

func fatal(what any) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(1)
}

func report() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf("report %d %d\n", packets.Load(), m.Mallocs)
}

func main() {
	log.SetOutput(io.Discard) // the binding logs every verdict
	for _, word := range os.Args[1:] {
		for format, into := range map[string]any{"queue=%d": &queue, "maxlen=%d": &maxlen, "rcvbuf=%d": &rcvbuf, "gso=%d": &gso, "work=%s": &work} {
			fmt.Sscanf(word, format, into)
		}
	}
	q := new(nfqueue.Queue)
	q.SetCallback(answer)
	if err := q.Init(); err != nil {
		fatal(err)
	}
	q.Bind(syscall.AF_INET)
	if err := q.CreateQueue(queue); err != nil {
		fatal(err)
	}
	q.SetQueueMaxLen(uint32(maxlen))
	enlarge()
	fmt.Println("ready")
	go func() {
		for { // select in the binding's loop ends it when one of the Go runtime's signals arrives
			q.Loop()
		}
	}()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "report" {
			report()
		}
	}
}
