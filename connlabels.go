package ipq

import (
	"encoding/binary"
	"math/bits"
)

// ConnLabels is a set of connection labels, numbered 0 to 127 as in connlabel.conf, which nft's "ct label" goes by. It
// holds the bits as the kernel does, so they can be compared and combined byte by byte.
type ConnLabels [16]byte

// Set adds label n. It panics if n is not from 0 to 127.
func (l *ConnLabels) Set(n int) {
	i, bit := labelBit(n)
	l[i] |= bit
}

// Has reports whether label n is in the set. It panics if n is not from 0 to 127.
func (l ConnLabels) Has(n int) bool {
	i, bit := labelBit(n)
	return l[i]&bit != 0
}

// labelBit is where the kernel keeps label n: in an array of C's unsigned long, which is as long as Go's uint.
func labelBit(n int) (i int, bit byte) {
	const word = bits.UintSize / 8
	i = n / 8
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		i ^= word - 1 // big endian: the lowest bits are in the last byte of each word
	}
	return i, 1 << (n % 8)
}

// SetConnLabels makes the connection labels under mask those of labels when the handler returns a verdict. It needs
// FlagConntrack, and fails with ErrNoConnLabels where the connection cannot be labelled. Requires at least Linux 3.9.
func (p *Packet) SetConnLabels(labels, mask ConnLabels) error {
	if p.facts.bits&hasLabelRoom == 0 {
		return p.refuse("set connection labels", ErrNoConnLabels)
	}
	for i, m := range mask {
		p.changes.ConnLabels[i] = p.changes.ConnLabels[i]&^m | labels[i]&m
		p.changes.ConnLabelsMask[i] |= m
	}
	return nil
}

// outside reports whether l has labels that are not in the mask.
func (l *ConnLabels) outside(mask *ConnLabels) bool {
	for i := range l {
		if l[i]&^mask[i] != 0 {
			return true
		}
	}
	return false
}
