package ipqueue

import (
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// conn is a program's socket: the handler's end of it.
type conn struct {
	family *family
	layout wire.IPQLayout
	port   uint32 // what the socket would be bound to; guarded by family.mu
	asker  asker
	file   *os.File
	raw    syscall.RawConn
	out    outbox
	judged struct { // the last sender, so that Allow is asked once per sender, not per message
		known bool
		cred  unix.Ucred
		ok    bool
	}
	answers []answer
}

// asker is the process that a socket was given to, as the service saw it.
type asker struct {
	known  bool
	uid    uint32
	groups []uint32
}

// answer is a verdict for the queue, and the reply that follows it.
type answer struct {
	decision decision[packetID]
}

func newConn(f *family, fd int, layout wire.IPQLayout, port uint32, a asker) (*conn, error) {
	c := &conn{family: f, layout: layout, port: port, asker: a, file: os.NewFile(uintptr(fd), "ip_queue program")}
	raw, err := c.file.SyscallConn()
	if err != nil {
		c.file.Close()
		return nil, err
	}
	c.raw = raw
	c.out.init(raw)
	c.answers = make([]answer, 0, inboxSlots)
	return c, nil
}

// run serves the program until it has closed its last descriptor, or the
// handler this one.
func (c *conn) run() {
	for {
		in, n := c.receive()
		if in == nil {
			return
		}
		more := c.serve(in, n)
		inboxes.Put(in)
		if !more {
			return
		}
	}
}

// receive waits for a batch. It returns nil when the socket is closed or broken.
func (c *conn) receive() (*inbox, int) {
	var in *inbox
	var n int
	err := c.raw.Read(func(fd uintptr) bool {
		// Tried every time before parking: the poller is edge-triggered.
		in = inboxes.Get().(*inbox)
		var errno unix.Errno
		if n, errno = in.receive(fd); errno == 0 {
			return true
		}
		inboxes.Put(in)
		in = nil
		return errno != unix.EAGAIN
	})
	if err != nil && in != nil {
		inboxes.Put(in)
		in = nil
	}
	return in, n
}

// serve answers a batch of datagrams. It returns false at the end of file.
func (c *conn) serve(in *inbox, n int) (more bool) {
	f := c.family
	more = true
	c.answers = c.answers[:0]
	f.mu.Lock()
	for i := range n {
		b, eof := in.datagram(i)
		if eof {
			more = false
			break
		}
		c.answers = append(c.answers, answer{f.request(c, b, c.allowed(in, i))})
	}
	f.mu.Unlock()
	for i := range c.answers {
		if d := &c.answers[i].decision; d.answer {
			f.settle(d.key, d.verdict, d.payload)
		}
	}
	c.reply()
	return more
}

// allowed judges the sender of message i.
func (c *conn) allowed(in *inbox, i int) bool {
	cred, ok := in.sender(i)
	if !ok {
		return false
	}
	if j := &c.judged; !j.known || j.cred != cred {
		who := Credentials{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid}
		if c.asker.known && c.asker.uid == cred.Uid {
			who.Groups = slices.Clip(c.asker.groups)
		}
		j.known, j.cred, j.ok = true, cred, c.family.handler.allow(who)
	}
	return c.judged.ok
}

// reply sends the acknowledgements and errors of a batch. Those that find the
// program's socket full are lost, as in netlink.
func (c *conn) reply() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range c.answers {
		d := &c.answers[i].decision
		if d.reply == replyNone {
			continue
		}
		if o.full() {
			o.flush()
		}
		errno := int32(d.errno)
		wire.PutIPQError(o.head(), errno, c.port, d.request)
		o.add(wire.IPQErrorSize, d.request[:wire.IPQErrorEcho(errno, d.request)])
	}
	o.flush()
}
