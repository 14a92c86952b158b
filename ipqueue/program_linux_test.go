package ipqueue_test

import (
	"encoding/binary"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
	"ipq/ipqueue"
)

// program is a stand-in for a program that uses ip_queue: its socket, and what it
// knows of it.
type program struct {
	t      testing.TB
	file   *os.File
	fd     int
	layout wire.IPQLayout
	port   uint32
	fences uint32
	buf    []byte
	last   []byte // sent by a replay
}

func wordSize(layout wire.IPQLayout) int { return 8 * int(layout) }

func connect(t testing.TB, h *ipqueue.Handler, family uint8, layout wire.IPQLayout, port uint32) *program {
	t.Helper()
	f, err := h.Connect(ipqueue.Hello{Family: family, WordSize: wordSize(layout), PID: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	return newProgram(t, f, layout, port)
}

func newProgram(t testing.TB, f *os.File, layout wire.IPQLayout, port uint32) *program {
	p := &program{t: t, file: f, fd: int(f.Fd()), layout: layout, port: port, buf: make([]byte, 256<<10)}
	t.Cleanup(p.close)
	return p
}

func (p *program) close() { p.file.Close() }

func (p *program) send(b []byte) {
	p.t.Helper()
	if err := unix.Sendto(p.fd, b, 0, nil); err != nil {
		p.t.Fatalf("program %d: sending %d bytes: %v", p.port, len(b), err)
	}
}

// sendAs sends as another user, by a thread that ends with it.
func (p *program) sendAs(uid int, b []byte) {
	p.t.Helper()
	if uid == 0 {
		p.send(b)
		return
	}
	done := make(chan error)
	go asUser(uid, func() { done <- unix.Sendto(p.fd, b, 0, nil) })
	if err := <-done; err != nil {
		p.t.Fatalf("program %d: sending as user %d: %v", p.port, uid, err)
	}
}

// asUser calls f as another user. It is called as a goroutine: it ends its thread.
func asUser(uid int, f func()) {
	runtime.LockOSThread() // and never unlocked: the thread is thrown away
	if unix.Gettid() == unix.Getpid() {
		done := make(chan struct{})
		go func() { defer close(done); asUser(uid, f) }() // the main thread cannot be
		<-done
		runtime.UnlockOSThread()
		return
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
		panic(errno)
	}
	f()
}

func (p *program) message(kind, flags uint16, body []byte) []byte {
	h := wire.IPQHeader{Type: kind, Flags: flags, Seq: 0x01020304, PID: p.port}
	return append(wire.AppendIPQMessage(nil, h, len(body)), body...)
}

func (p *program) setMode(mode uint8, rng uint64) {
	p.t.Helper()
	p.send(p.message(wire.IPQTypeMode, wire.IPQFlagRequest|wire.IPQFlagAck, p.layout.AppendMode(nil, wire.IPQMode{Value: mode, Range: rng})))
	p.wantReply(0)
}

func (p *program) verdict(id uint64, value uint32, payload []byte) {
	p.t.Helper()
	v := wire.IPQVerdict{Value: value, ID: id, DataLen: uint64(len(payload)), Payload: payload}
	p.send(p.message(wire.IPQTypeVerdict, wire.IPQFlagRequest, p.layout.AppendVerdict(nil, v)))
}

// readable waits until there is something to read.
func (p *program) readable(timeout time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	for end := time.Now().Add(timeout); ; {
		n, err := unix.Poll(fds, int(max(0, time.Until(end).Milliseconds())))
		if err == unix.EINTR {
			continue
		}
		return n > 0
	}
}

const patience = 5 * time.Second

// receive reads one datagram. It checks what every one must have: a source
// address of 12 bytes whose port is 0.
func (p *program) receive() []byte {
	p.t.Helper()
	if !p.readable(patience) {
		p.t.Fatalf("program %d: nothing to receive in %v", p.port, patience)
	}
	n, from := recvfrom(p.t, p.fd, p.buf, 0)
	if n == 0 {
		p.t.Fatalf("program %d: end of file", p.port)
	}
	if len(from) != 12 || binary.NativeEndian.Uint32(from[4:]) != 0 {
		p.t.Fatalf("program %d: datagram from % x, want 12 bytes with a zero port", p.port, from)
	}
	return p.buf[:n]
}

func (p *program) wantReply(errno unix.Errno) wire.IPQError {
	p.t.Helper()
	e, err := wire.DecodeIPQError(p.receive())
	if err != nil || e.Errno != int32(errno) {
		p.t.Fatalf("program %d: reply %+v, %v; want errno %d", p.port, e, err, errno)
	}
	return e
}

func (p *program) wantPacket() (wire.IPQPacket, []byte) {
	p.t.Helper()
	b := p.receive()
	h, err := wire.DecodeIPQHeader(b)
	if err != nil || h.Type != wire.IPQTypePacket || int(h.Len) != len(b) || h.Flags != 0 || h.Seq != 0 || h.PID != 0 {
		p.t.Fatalf("program %d: received % x, want a packet", p.port, b)
	}
	m, payload, err := p.layout.DecodePacket(b)
	if err != nil {
		p.t.Fatalf("program %d: %v: % x", p.port, err, b)
	}
	return m, payload
}

// fence fails the test if anything came before the answer to a message that has
// an answer always, and changes nothing.
func (p *program) fence() {
	p.t.Helper()
	p.fences++
	h := wire.IPQHeader{Type: wire.IPQTypeMax, Flags: wire.IPQFlagRequest, Seq: p.fences, PID: p.port}
	p.send(wire.AppendIPQMessage(nil, h, 0))
	b := p.receive()
	if e, err := wire.DecodeIPQError(b); err != nil || e.Seq != p.fences || e.Errno != int32(unix.EINVAL) {
		p.t.Fatalf("program %d: received % x, want nothing", p.port, b[:min(len(b), 128)])
	}
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// eventually tries until ok is true, and gives up after a while.
func eventually(ok func() bool) bool {
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
