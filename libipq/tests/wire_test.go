//go:build linux

package tests_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// listen makes a socket like the service's.
func listen(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What the library writes and what the Go codec writes are the same bytes.
func TestSameBytes(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789"), 700)
	values := []uint64{0, 1, 2, 3, 5, 6, 255, 256, 1500, 65535, 65536, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 + 7, 1<<64 - 1}
	for _, word := range []int{64, 32} {
		t.Run(fmt.Sprint(word), func(t *testing.T) {
			x := target{word: word}
			x.require(t)
			layout, largest := wire.IPQ64, uint64(1<<64-1)
			if word == 32 {
				layout, largest = wire.IPQ32, 1<<32-1
			}
			w := startWriter(t, compile(t, "writer/writer.c", x))
			for _, a := range values {
				for _, b := range values {
					a, b := a&largest, b&largest
					// The library counts the header twice: 16 bytes of nothing at the end.
					want := wire.AppendIPQMessage(nil, wire.IPQHeader{Type: wire.IPQTypeMode, Flags: wire.IPQFlagRequest, PID: w.pid}, layout.VerdictSize()+16)
					want = layout.AppendMode(want, wire.IPQMode{Value: uint8(a), Range: b})
					w.compare(append(want, make([]byte, 16)...), "mode", a&0xff, b)

					for _, n := range []int{0, 1, 20, 41, len(payload)} {
						want := wire.AppendIPQMessage(nil, wire.IPQHeader{Type: wire.IPQTypeVerdict, Flags: wire.IPQFlagRequest, PID: w.pid}, layout.VerdictSize()+n)
						want = layout.AppendVerdict(want, wire.IPQVerdict{Value: uint32(a), ID: b, DataLen: uint64(n), Payload: payload[:n]})
						w.compare(want, "verdict", a&0xffffffff, b, uint64(n))
					}
				}
			}
			w.end()
		})
	}
}

// writer is a C program that calls the library as it is told.
type writer struct {
	t    *testing.T
	pid  uint32
	cmd  *exec.Cmd
	tell *os.File
	hear int // the other end of the program's socket
}

func startWriter(t *testing.T, program string) *writer {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "program's end")
	defer theirs.Close()
	in, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	w := &writer{t: t, cmd: exec.Command(program), tell: tell, hear: pair[0]}
	w.cmd.Stdin, w.cmd.Stderr = in, os.Stderr
	w.cmd.ExtraFiles = []*os.File{theirs}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.pid = uint32(w.cmd.Process.Pid)
	return w
}

func (w *writer) compare(want []byte, what string, args ...uint64) {
	w.t.Helper()
	line := what
	for _, a := range args {
		line += " " + strconv.FormatUint(a, 10)
	}
	if _, err := w.tell.WriteString(line + "\n"); err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, len(want)+100)
	n, err := unix.Read(w.hear, b)
	if err != nil || n == 0 {
		w.t.Fatalf("%s: read %d bytes, %v", line, n, err)
	}
	if !bytes.Equal(b[:n], want) {
		w.t.Fatalf("%s: the library writes\n% x\nthe codec\n% x", line, b[:n], want)
	}
}

func (w *writer) end() {
	w.tell.Close()
	unix.Close(w.hear)
	if err := w.cmd.Wait(); err != nil {
		w.t.Error(err)
	}
}
