package ipqueue

import (
	"golang.org/x/sys/unix"

	"ipq/internal/wire"
)

// machine is what one of the kernel modules kept in its static variables, and
// what it decided: the brain of a Handler for one family. It does no I/O and
// takes no lock. K names a packet to its queue.
type machine[K any] struct {
	family uint8
	maxLen uint32

	peer  uint32 // nlmsg_pid of the one program, 0 when there is none
	mode  uint8
	rng   uint32 // copy range, 0 for the whole packet
	held  heldTable[K]
	id    uint32 // the last one given out
	stats counters
}

// counters are never reset, as in ip_queue.
type counters struct {
	queueDropped   uint32 // the queue was full
	netlinkDropped uint32 // the program's socket was full, or gone
}

func newMachine[K any](family uint8, maxLen uint32) *machine[K] {
	return &machine[K]{family: family, maxLen: maxLen}
}

// reply is what a request gets back.
type reply uint8

const (
	replyNone reply = iota
	replyAck
	replyNack
)

// decision is what a request led to.
type decision[K any] struct {
	reply   reply
	errno   unix.Errno // of a replyNack
	request []byte     // cut to its nlmsg_len; nil when it was ignored unread
	claimed bool       // the request took the peer slot, for the port in its header
	answer  bool       // a packet is to be answered:
	key     K          // which,
	verdict uint32     // with what (NF_*, never NF_STOLEN),
	payload []byte     // and with what bytes instead of its own; nil when unchanged
}

// admit makes the checks on a datagram that depend on nothing but it and its
// sender. settled is true when they decided; otherwise the machine has to.
//
// Here and in request, the checks and their order are those of ip_queue_rcv_skb
// in Linux 3.4.
func admit[K any](datagram []byte, privileged bool) (d decision[K], h wire.IPQHeader, settled bool) {
	h, err := wire.DecodeIPQHeader(datagram)
	if err != nil || h.Len < wire.IPQHeaderSize || uint64(h.Len) > uint64(len(datagram)) {
		return d, h, true
	}
	d.request = datagram[:h.Len]
	switch {
	case int32(h.PID) <= 0 || h.Flags&wire.IPQFlagRequest == 0 || h.Flags&wire.IPQFlagMulti != 0:
		return d.nack(unix.EINVAL), h, true
	case h.Flags&wire.IPQFlagTruncated != 0:
		return d.nack(unix.ECOMM), h, true
	case h.Type < 1 || h.Type >= wire.IPQTypeMax:
		return d.nack(unix.EINVAL), h, true
	case h.Type <= wire.IPQTypeBase:
		return d, h, true // even when an acknowledgement was asked for
	case !privileged:
		return d.nack(unix.EPERM), h, true
	}
	return d, h, false
}

// request decides about a datagram that admit let pass; d and h are what it
// returned. The decision's slices are parts of the datagram.
func (m *machine[K]) request(d decision[K], h wire.IPQHeader, layout wire.IPQLayout) decision[K] {
	if m.peer != 0 && m.peer != h.PID {
		return d.nack(unix.EBUSY)
	}
	if m.peer == 0 {
		m.peer, d.claimed = h.PID, true // whatever becomes of the rest
	}
	body := d.request[wire.IPQHeaderSize:]
	var errno unix.Errno
	switch {
	case len(body) < layout.VerdictSize():
		errno = unix.EINVAL
	case h.Type == wire.IPQTypeMode:
		errno = m.setMode(layout, body)
	case h.Type == wire.IPQTypeVerdict:
		errno = m.setVerdict(layout, body, &d)
	default:
		errno = unix.EINVAL
	}
	if errno != 0 {
		return d.nack(errno)
	}
	if h.Flags&wire.IPQFlagAck != 0 {
		d.reply = replyAck
	}
	return d
}

func (d decision[K]) nack(errno unix.Errno) decision[K] {
	d.reply, d.errno = replyNack, errno
	return d
}

func (m *machine[K]) setMode(layout wire.IPQLayout, body []byte) unix.Errno {
	mode, err := layout.DecodeMode(body)
	if err != nil {
		return unix.EINVAL
	}
	switch mode.Value {
	case wire.IPQCopyNone, wire.IPQCopyMeta:
		m.rng = 0
	case wire.IPQCopyPacket:
		// The kernel kept an unsigned int of the size_t, and only then lowered it.
		m.rng = min(uint32(mode.Range), wire.IPQMaxRange)
	default:
		return unix.EINVAL
	}
	m.mode = mode.Value
	return 0
}

func (m *machine[K]) setVerdict(layout wire.IPQLayout, body []byte, d *decision[K]) unix.Errno {
	v, err := layout.DecodeVerdict(body)
	// NF_QUEUE may not name another queue: the value is compared as a whole.
	if err != nil || v.Value > wire.IPQVerdictMax || v.Value == wire.IPQVerdictStolen {
		return unix.EINVAL
	}
	if v.ID > 0xffffffff {
		return unix.ENOENT
	}
	e, ok := m.held.take(uint32(v.ID))
	if !ok {
		return unix.ENOENT
	}
	d.answer, d.key, d.verdict = true, e.key, v.Value
	// A length that is not that of the bytes present, and a payload too short for
	// an IP header, were ignored; one that no packet can hold dropped the packet.
	if v.DataLen == uint64(len(v.Payload)) && len(v.Payload) >= minPayload(m.family) {
		if len(v.Payload) > maxPayload {
			d.verdict = wire.IPQVerdictDrop
		} else {
			d.payload = v.Payload
		}
	}
	return 0
}

// maxPayload is the longest packet that NFQUEUE takes back: a netlink
// attribute's length, header included, has 16 bits. ip_queue took 65,535 bytes.
const maxPayload = 0xffff - 4

// minPayload is the least that replaces a packet: an IP header.
func minPayload(family uint8) int {
	if family == IPv6 {
		return 40
	}
	return 20
}

// offer admits a packet of length bytes to the queue, or refuses it (the packet
// is then to be dropped). It returns the packet's id and how much of it the
// program wants to see.
func (m *machine[K]) offer(key K, devs devices, length int) (id uint32, copied int, ok bool) {
	if m.mode == wire.IPQCopyNone || m.peer == 0 {
		return 0, 0, false
	}
	if uint32(m.held.n) >= m.maxLen {
		m.stats.queueDropped++
		return 0, 0, false
	}
	for {
		m.id++
		if m.id != 0 && m.held.find(m.id) < 0 {
			break
		}
	}
	m.held.put(entry[K]{id: m.id, key: key, devs: devs})
	if m.mode == wire.IPQCopyPacket {
		copied = length
		if m.rng != 0 {
			copied = min(length, int(m.rng))
		}
	}
	return m.id, copied, true
}

// refuse takes back an admission: the program's socket did not take the packet.
// ok is false when the packet is no longer held, so that somebody else answers.
func (m *machine[K]) refuse(id uint32) (key K, ok bool) {
	m.stats.netlinkDropped++
	e, ok := m.held.take(id)
	return e.key, ok
}

// release frees the slot, as the kernel did when the peer's port was closed, and
// gives every packet that waits to drop.
func (m *machine[K]) release(drop func(K)) {
	m.peer, m.mode, m.rng = 0, wire.IPQCopyNone, 0
	m.held.takeIf(func(*entry[K]) bool { return true }, drop)
}

// linkDown gives every packet to drop that came through the interface or is to
// leave by it. The program is not told.
func (m *machine[K]) linkDown(index uint32, drop func(K)) {
	m.held.takeIf(func(e *entry[K]) bool { return e.devs.has(index) }, drop)
}
