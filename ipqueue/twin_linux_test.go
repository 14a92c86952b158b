package ipqueue_test

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"ipq/internal/wire"
	"ipq/ipqueue"
)

// twin is the machine again, slow and obvious: the tables of what ip_queue did,
// row by row.
type twin struct {
	family uint8
	maxLen uint32
	peer   uint32
	mode   uint32
	rng    uint32
	last   uint32
	held   []held // in order of arrival
	full   uint32
	lost   uint32
}

type held struct {
	id     uint32
	packet int
	devs   [4]uint32
}

func word(layout wire.IPQLayout, b []byte) uint64 {
	if layout == wire.IPQ32 {
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return binary.NativeEndian.Uint64(b)
}

// message is a datagram, taken apart without any check.
type message struct {
	twin       *twin
	layout     wire.IPQLayout
	datagram   []byte
	privileged bool
}

func (m message) length() uint64 { return uint64(binary.NativeEndian.Uint32(m.datagram)) }
func (m message) kind() uint16   { return binary.NativeEndian.Uint16(m.datagram[4:]) }
func (m message) flags() uint16  { return binary.NativeEndian.Uint16(m.datagram[6:]) }
func (m message) pid() uint32    { return binary.NativeEndian.Uint32(m.datagram[12:]) }
func (m message) body() []byte   { return m.datagram[16:m.length()] }
func (m message) mode() uint8    { return m.body()[0] }
func (m message) value() uint32  { return binary.NativeEndian.Uint32(m.body()) }
func (m message) id() uint64     { return word(m.layout, m.body()[m.layout:]) }
func (m message) queued() int {
	return slices.IndexFunc(m.twin.held, func(h held) bool { return uint64(h.id) == m.id() })
}

const silence = unix.Errno(0xffff)

// admission is table 2.1: the first row whose condition holds decides.
var admission = []struct {
	name  string
	errno unix.Errno
	when  func(m message) bool
}{
	{"datagram shorter than a header", silence, func(m message) bool { return len(m.datagram) < 16 }},
	{"nlmsg_len shorter than a header", silence, func(m message) bool { return m.length() < 16 }},
	{"nlmsg_len longer than the datagram", silence, func(m message) bool { return m.length() > uint64(len(m.datagram)) }},
	{"nlmsg_pid 0 or negative", unix.EINVAL, func(m message) bool { return m.pid() == 0 || m.pid()&0x80000000 != 0 }},
	{"no NLM_F_REQUEST", unix.EINVAL, func(m message) bool { return m.flags()&1 == 0 }},
	{"NLM_F_MULTI", unix.EINVAL, func(m message) bool { return m.flags()&2 != 0 }},
	{"MSG_TRUNC in nlmsg_flags", unix.ECOMM, func(m message) bool { return m.flags()&0x20 != 0 }},
	{"type 0", unix.EINVAL, func(m message) bool { return m.kind() == 0 }},
	{"type IPQM_MAX or above", unix.EINVAL, func(m message) bool { return m.kind() >= 0x14 }},
	{"type IPQM_BASE or below", silence, func(m message) bool { return m.kind() <= 0x10 }},
	{"unprivileged", unix.EPERM, func(m message) bool { return !m.privileged }},
	{"another peer", unix.EBUSY, func(m message) bool { return m.twin.peer != 0 && m.twin.peer != m.pid() }},
	{"claims the slot", 0, func(m message) bool { m.twin.peer = m.pid(); return false }},
	{"body shorter than ipq_peer_msg_t", unix.EINVAL, func(m message) bool {
		return len(m.body()) < map[wire.IPQLayout]int{wire.IPQ32: 12, wire.IPQ64: 24}[m.layout]
	}},
	{"IPQM_MODE, value above IPQ_COPY_MAX", unix.EINVAL, func(m message) bool { return m.kind() == 0x11 && m.mode() > 2 }},
	{"IPQM_VERDICT, value above NF_MAX_VERDICT", unix.EINVAL, func(m message) bool { return m.kind() == 0x12 && m.value() > 5 }},
	{"IPQM_VERDICT, NF_STOLEN", unix.EINVAL, func(m message) bool { return m.kind() == 0x12 && m.value() == 2 }},
	{"IPQM_VERDICT, id not queued", unix.ENOENT, func(m message) bool { return m.kind() == 0x12 && m.queued() < 0 }},
	{"IPQM_PACKET", unix.EINVAL, func(m message) bool { return m.kind() == 0x13 }},
	{"success", 0, func(m message) bool { return true }},
}

func (w *twin) request(layout wire.IPQLayout, datagram []byte, privileged bool) ipqueue.Reaction {
	m := message{w, layout, datagram, privileged}
	for _, row := range admission {
		if !row.when(m) {
			continue
		}
		switch row.errno {
		case silence:
			return ipqueue.Reaction{}
		case 0:
			r := w.act(m)
			r.Ack = m.flags()&4 != 0
			return r
		}
		return ipqueue.Reaction{Nack: true, Errno: row.errno, Echo: datagram[:m.length()]}
	}
	panic("no row")
}

func (w *twin) act(m message) (r ipqueue.Reaction) {
	if m.kind() == 0x11 {
		w.mode, w.rng = uint32(m.mode()), 0
		if w.mode == 2 {
			w.rng = uint32(word(m.layout, m.body()[m.layout:]))
			if w.rng > 0xffff {
				w.rng = 0xffff
			}
		}
		return r
	}
	i := m.queued()
	r = ipqueue.Reaction{Answered: true, Packet: w.held[i].packet, Verdict: m.value()}
	w.held = slices.Delete(w.held, i, i+1)
	// Table 2.8.
	said := word(m.layout, m.body()[2*m.layout:])
	present := m.body()[3*m.layout:]
	least := map[uint8]uint64{2: 20, 10: 40}[w.family]
	switch {
	case said == 0: // no replacement
	case said != uint64(len(present)): // ignored
	case said < least: // ignored
	case said > 65531: // cannot be: dropped
		r.Verdict = 0
	default:
		r.Payload = present
	}
	return r
}

func (w *twin) offer(packet, length int, devs [4]uint32) (id uint32, copied int, ok bool) {
	switch {
	case w.mode == 0:
		return 0, 0, false
	case w.peer == 0:
		return 0, 0, false
	case uint64(len(w.held)) >= uint64(w.maxLen):
		w.full++
		return 0, 0, false
	}
	for {
		w.last++
		if w.last != 0 && !slices.ContainsFunc(w.held, func(h held) bool { return h.id == w.last }) {
			break
		}
	}
	w.held = append(w.held, held{w.last, packet, devs})
	if w.mode == 2 {
		copied = length
		if w.rng != 0 && int(w.rng) < length {
			copied = int(w.rng)
		}
	}
	return w.last, copied, true
}

func (w *twin) refuse(id uint32) (packet int, ok bool) {
	w.lost++
	i := slices.IndexFunc(w.held, func(h held) bool { return h.id == id })
	if i < 0 {
		return 0, false
	}
	packet = w.held[i].packet
	w.held = slices.Delete(w.held, i, i+1)
	return packet, true
}

func (w *twin) drop(match func(held) bool) (packets []int) {
	for _, h := range w.held {
		if match(h) {
			packets = append(packets, h.packet)
		}
	}
	w.held = slices.DeleteFunc(w.held, match)
	return packets
}

func (w *twin) state() [6]uint32 {
	return [6]uint32{w.peer, w.mode, w.rng, uint32(len(w.held)), w.full, w.lost}
}
