package wire

import (
	"encoding/binary"
	"errors"
)

// ErrIPQShort means that a message ended before the structure it must hold.
var ErrIPQShort = errors.New("ip_queue message too short")

// IPQLayout is the layout of the ip_queue structures for one size of the C
// long, in bytes: IPQ32 or IPQ64. A program and its handler must agree on it
// beforehand, for the lengths of messages do not tell the two apart.
type IPQLayout uint8

// The two layouts. Every ABI with 32-bit longs had the first (i386, arm,
// x32...), every one with 64-bit longs the second.
const (
	IPQ32 IPQLayout = 4
	IPQ64 IPQLayout = 8
)

// PacketSize returns sizeof(ipq_packet_msg_t), 72 or 96 bytes.
func (l IPQLayout) PacketSize() int { return 48 + 6*int(l) }

// VerdictSize returns sizeof(ipq_verdict_msg_t), 12 or 24 bytes. It is the size
// of the union ipq_peer_msg_t as well, which every message from a program must
// fill: a mode message of ModeSize bytes was refused on 64-bit kernels.
func (l IPQLayout) VerdictSize() int { return 3 * int(l) }

// ModeSize returns sizeof(ipq_mode_msg_t), 8 or 16 bytes.
func (l IPQLayout) ModeSize() int { return 2 * int(l) }

func (l IPQLayout) word(b []byte) uint64 {
	if l == IPQ32 {
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return binary.NativeEndian.Uint64(b)
}

func (l IPQLayout) putWord(b []byte, v uint64) {
	if l == IPQ32 {
		binary.NativeEndian.PutUint32(b, uint32(v))
		return
	}
	binary.NativeEndian.PutUint64(b, v)
}

// signed returns a word as a C long.
func (l IPQLayout) signed(b []byte) int64 {
	if l == IPQ32 {
		return int64(int32(binary.NativeEndian.Uint32(b)))
	}
	return int64(binary.NativeEndian.Uint64(b))
}
