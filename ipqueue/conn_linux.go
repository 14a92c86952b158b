package ipqueue

import (
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// conn is a program's socket: the handler's end of it.
type conn struct {
	handler *Handler
	family  *family
	layout  wire.IPQLayout
	port    atomic.Uint32 // what the socket would be bound to; 0 before it has sent anything
	inode   uint32        // of the program's end
	asker   asker
	file    *os.File
	raw     syscall.RawConn
	out     outbox
	in      struct { // of receive, which allocates nothing
		box  *inbox
		peer bool // the box was got as a peer's
		n    int
		try  func(fd uintptr) bool
	}
	judged struct { // the last sender, so that Allow is asked once per sender, not per message
		known bool
		cred  unix.Ucred
		ok    bool
	}
	replies []response // not sent yet

	stranger bool // Allow refuses whom the socket was given to
	progress progress
}

// asker is the process that a socket was given to, as the service saw it.
type asker struct {
	known    bool
	pid      int32
	uid, gid uint32
	groups   []uint32
}

func newConn(h *Handler, f *family, fd int, layout wire.IPQLayout, port uint32, a asker) (*conn, error) {
	c := &conn{handler: h, family: f, layout: layout, asker: a, file: os.NewFile(uintptr(fd), "ip_queue program")}
	raw, err := c.file.SyscallConn()
	if err != nil {
		c.file.Close()
		return nil, err
	}
	c.raw = raw
	c.port.Store(port)
	c.out.init(raw)
	c.progress.init()
	c.in.try = c.tryReceive
	c.replies = make([]response, 0, inboxSlots)
	return c, nil
}

// run serves the program until it has closed its last descriptor, or the
// handler this one.
func (c *conn) run() {
	for more := true; more && c.raw.Read(c.in.try) == nil && c.in.box != nil; {
		more = c.serve(c.in.box, c.in.n)
		c.progress.served.Add(c.in.box.bytes(c.in.n))
		c.progress.hasMoved()
		c.handler.inboxes.put(c.in.box, c.in.peer)
		c.in.box = nil
	}
}

// tryReceive takes what is there. It always asks the socket before it lets the
// poller park, which is edge-triggered.
func (c *conn) tryReceive(fd uintptr) bool {
	peer := c.family.isPeer(c)
	box := c.handler.inboxes.get(peer)
	c.progress.mu.Lock()
	n, errno := box.receive(fd)
	if errno == 0 {
		c.progress.received += box.bytes(n)
	}
	c.progress.mu.Unlock()
	if errno != 0 {
		c.handler.inboxes.put(box, peer)
		return errno != unix.EAGAIN
	}
	c.in.box, c.in.peer, c.in.n = box, peer, n
	return true
}

// serve answers a batch of datagrams. It returns false at the end of file.
func (c *conn) serve(box *inbox, n int) (more bool) {
	var last decision[packetID] // whose answer has not been given, so that it can leave with the next
	reinjected := false         // a packet went back, and may have been queued again
	settle := func(more bool) {
		if last.answer {
			last.key.settle(last.verdict, last.payload, more)
			last.answer = false
		}
	}
	defer c.reply()
	defer func() { settle(false) }()
	c.family.settleDeparture(c)
	for i := range n {
		b, eof := box.datagram(i)
		if eof {
			return false
		}
		if c.port.Load() == 0 {
			cred, _ := box.sender(i)
			c.autobind(b, cred.Pid)
		}
		d := c.family.request(c, b, c.allowed(box, i))
		if d.answer {
			settle(d.key.feed == last.key.feed)
			if d.verdict != wire.IPQVerdictDrop {
				c.reply() // before what comes of the verdict
				reinjected = true
			}
			last = d
		}
		if d.reply == replyNone {
			continue
		}
		settle(false)
		switch {
		case d.reply != replyAck:
		case !d.answer:
			// No packet that was made by the mode before follows the acknowledgement.
			c.handler.settle()
		case reinjected:
			// The kernel handled a verdict to its end before it acknowledged it.
			c.progress.fence.Store(true)
			c.progress.hasMoved()
			d.key.feed.fence()
			c.progress.fence.Store(false)
			reinjected = false
		}
		c.replies = append(c.replies, c.respond(d.errno, d.request))
	}
	return true
}

// allowed judges the sender of message i.
func (c *conn) allowed(box *inbox, i int) bool {
	cred, ok := box.sender(i)
	if !ok {
		return false
	}
	if j := &c.judged; !j.known || j.cred != cred {
		who := Credentials{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid}
		if c.asker.known && c.asker.uid == cred.Uid {
			who.Groups = c.asker.groups
		}
		j.known, j.cred, j.ok = true, cred, c.handler.allow(who)
	}
	return c.judged.ok
}

// reply sends the acknowledgements and errors that have gathered.
func (c *conn) reply() {
	if len(c.replies) > 0 {
		c.send(c.replies...)
		clear(c.replies)
		c.replies = c.replies[:0]
	}
}

// response is an acknowledgement, or an error, on its way to the program.
type response struct {
	errno   unix.Errno
	request []byte
	port    uint32
}

func (c *conn) respond(errno unix.Errno, request []byte) response {
	return response{errno, request, c.port.Load()}
}

// send sends replies. Those that find the program's socket full are lost, as in
// netlink.
func (c *conn) send(replies ...response) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range replies {
		if o.full() {
			o.flush()
		}
		wire.PutIPQError(o.head(), int32(r.errno), r.port, r.request)
		o.add(wire.IPQErrorSize, r.request[:wire.IPQErrorEcho(int32(r.errno), r.request)])
	}
	o.flush()
}
