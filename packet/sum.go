package packet

import (
	"encoding/binary"
	"math/bits"
)

// The Internet checksum is a ones' complement sum of 16-bit words. Such a sum may be taken on wider words and folded at the
// end, and in either byte order as long as the result is stored in the same one (RFC 1071, section 2), so everything here
// is little-endian and 64 bits wide: loads that every common machine does in one step. All sums in this package are in
// that domain; putSum and getSum are the only ways in and out of a header.

var little = binary.LittleEndian

// sum adds the words of b to acc. A last odd byte counts as if a zero followed it.
func sum(acc uint64, b []byte) uint64 {
	var c uint64 // a chain that starts without a carry never ends in all ones and a carry, so adding it last cannot overflow
	for len(b) >= 64 {
		acc, c = bits.Add64(acc, little.Uint64(b[0:8]), 0)
		acc, c = bits.Add64(acc, little.Uint64(b[8:16]), c)
		acc, c = bits.Add64(acc, little.Uint64(b[16:24]), c)
		acc, c = bits.Add64(acc, little.Uint64(b[24:32]), c)
		acc, c = bits.Add64(acc, little.Uint64(b[32:40]), c)
		acc, c = bits.Add64(acc, little.Uint64(b[40:48]), c)
		acc, c = bits.Add64(acc, little.Uint64(b[48:56]), c)
		acc, c = bits.Add64(acc, little.Uint64(b[56:64]), c)
		acc += c
		b = b[64:]
	}
	if len(b) >= 32 {
		acc, c = bits.Add64(acc, little.Uint64(b[0:8]), 0)
		acc, c = bits.Add64(acc, little.Uint64(b[8:16]), c)
		acc, c = bits.Add64(acc, little.Uint64(b[16:24]), c)
		acc, c = bits.Add64(acc, little.Uint64(b[24:32]), c)
		acc += c
		b = b[32:]
	}
	if len(b) >= 16 {
		acc, c = bits.Add64(acc, little.Uint64(b[0:8]), 0)
		acc, c = bits.Add64(acc, little.Uint64(b[8:16]), c)
		acc += c
		b = b[16:]
	}
	// At most 15 bytes are left: gather them into two words whose sum cannot overflow acc twice.
	var tail uint64
	if len(b) >= 8 {
		acc = add(acc, little.Uint64(b))
		b = b[8:]
	}
	if len(b) >= 4 {
		tail = uint64(little.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		tail += uint64(little.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		tail += uint64(b[0])
	}
	return add(acc, tail)
}

// add is one ones' complement addition on 64 bits.
func add(a, b uint64) uint64 {
	s, c := bits.Add64(a, b, 0)
	return s + c
}

// fold brings a sum down to 16 bits. Only a sum of nothing but zeros folds to 0.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}

// word is a 16-bit number as it counts in a sum.
func word(v int) uint64 { return uint64(bits.ReverseBytes16(uint16(v))) }

func putSum(b []byte, at int, s uint16) { little.PutUint16(b[at:at+2], s) }
func getSum(b []byte, at int) uint16    { return little.Uint16(b[at : at+2]) }

// difference is what replacing the bytes old, at an even offset, by new does to a sum that covers them.
func difference(old, new []byte) uint64 {
	return sum(uint64(^fold(sum(0, old))), new)
}

// amend is equation 3 of RFC 1624. The result is what a full computation gives, provided that the checksum was true and
// the sum is not of zeros alone.
func amend(checksum uint16, difference uint64) uint16 {
	return ^fold(add(difference, uint64(^checksum)))
}
