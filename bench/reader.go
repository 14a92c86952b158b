package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// A goReader is a reader of this process: bind returns once its queue is bound, read then answers packets and returns
// only with an error.
type goReader interface {
	bind(settings) error
	read() error
}

// answered counts packets; a reader's handler adds to it.
var answered atomic.Uint64

// runReader is the process of a reader written in Go: it answers the harness until the harness closes the pipe.
func runReader(words []string) error {
	var r goReader
	switch words[0] {
	case ipqReader:
		r = &ipqQueue{}
	case goNfqueueReader:
		r = &goNfqueue{}
	case emulateReader:
		return runEmulate(words[1:])
	default:
		return fmt.Errorf("no reader %q", words[0])
	}
	s, err := parseSettings(words[1:])
	if err != nil {
		return err
	}
	if err := r.bind(s); err != nil {
		return err
	}
	if s.allocate {
		go allocate()
	}
	go func() { exit(r.read()) }()
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "report" {
			if err := printReport(); err != nil {
				return err
			}
		}
	}
	return nil
}

func printReport() error {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	_, err := fmt.Printf("report %d %d\n", answered.Load(), m.Mallocs)
	return err
}

// allocate keeps the garbage collector busy, as a program with much else to do would.
func allocate() {
	kept := make([][]byte, 1<<12)
	for i := 0; ; i++ {
		kept[i%len(kept)] = make([]byte, 64+i%4096)
		if i%1024 == 0 {
			time.Sleep(100 * time.Microsecond)
		}
	}
}
